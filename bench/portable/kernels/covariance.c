// The covariances of the columns of a table
#include "../kernel.h"

#define N 800

static int n;
static double (*D)[N], (*C)[N], *mean;

static void prepare(void) {
  n = scaled(N);
  D = room(sizeof(double[N][N]));
  C = room(sizeof(double[N][N]));
  mean = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) D[i][j] = (double)(i * j % n) / n;
}

static void covariance(int size, double d[][N], double c[][N], double* average) {
  for (int j = 0; j < size; ++j) {
    average[j] = 0;
    for (int i = 0; i < size; ++i) average[j] += d[i][j];
    average[j] /= size;
  }
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) d[i][j] -= average[j];
  for (int i = 0; i < size; ++i)
    for (int j = i; j < size; ++j) {
      c[i][j] = 0;
      for (int k = 0; k < size; ++k) c[i][j] += d[k][i] * d[k][j];
      c[i][j] /= size - 1.0;
      c[j][i] = c[i][j];
    }
}

static void work(void) { covariance(n, D, C, mean); }
static double sum(void) { return sum_of(&C[0][0], (size_t)N * N); }
