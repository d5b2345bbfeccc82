// The correlations of the columns of a table
#include <math.h>

#include "../kernel.h"

#define N 800

static int n;
static double (*D)[N], (*C)[N], *mean, *deviation;

static void prepare(void) {
  n = scaled(N);
  D = room(sizeof(double[N][N]));
  C = room(sizeof(double[N][N]));
  mean = room(sizeof(double[N]));
  deviation = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) D[i][j] = (double)(i * j % n) / n + i;
}

static void correlation(int size, double d[][N], double c[][N], double* average, double* spread) {
  for (int j = 0; j < size; ++j) {
    average[j] = 0;
    for (int i = 0; i < size; ++i) average[j] += d[i][j];
    average[j] /= size;
  }
  for (int j = 0; j < size; ++j) {
    spread[j] = 0;
    for (int i = 0; i < size; ++i) spread[j] += (d[i][j] - average[j]) * (d[i][j] - average[j]);
    spread[j] = sqrt(spread[j] / size);
    spread[j] = spread[j] <= 0.1 ? 1.0 : spread[j];
  }
  const double root = sqrt(size);
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      d[i][j] -= average[j];
      d[i][j] /= root * spread[j];
    }
  for (int i = 0; i < size - 1; ++i) {
    c[i][i] = 1;
    for (int j = i + 1; j < size; ++j) {
      c[i][j] = 0;
      for (int k = 0; k < size; ++k) c[i][j] += d[k][i] * d[k][j];
      c[j][i] = c[i][j];
    }
  }
  c[size - 1][size - 1] = 1;
}

static void work(void) { correlation(n, D, C, mean, deviation); }
static double sum(void) { return sum_of(&C[0][0], (size_t)N * N); }
