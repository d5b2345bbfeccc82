// x1 += A y1 and x2 += A' y2, the second against the rows
#include "../kernel.h"

#define N 1800
#define ROUNDS 28

static int n;
static double (*A)[N], *x1, *x2, *y1, *y2;

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  x1 = room(sizeof(double[N]));
  x2 = room(sizeof(double[N]));
  y1 = room(sizeof(double[N]));
  y2 = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i) {
    x1[i] = (double)i / n;
    x2[i] = (double)((i + 1) % n) / n;
    y1[i] = (double)((i + 3) % n) / n;
    y2[i] = (double)((i + 4) % n) / n;
    for (int j = 0; j < n; ++j) A[i][j] = (double)(i * j % n) / n;
  }
}

static void mvt(int size, double a[][N], double* out1, double* out2, const double* in1, const double* in2) {
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) out1[i] += a[i][j] * in1[j];
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) out2[i] += a[j][i] * in2[j];
}

static void work(void) {
  for (int round = 0; round < ROUNDS; ++round) mvt(n, A, x1, x2, y1, y2);
}
static double sum(void) { return sum_of(x1, N) + sum_of(x2, N); }
