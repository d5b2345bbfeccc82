// y = A' (A x)
#include "../kernel.h"

#define N 1800
#define ROUNDS 120

static int n;
static double (*A)[N], *x, *y;

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  x = room(sizeof(double[N]));
  y = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i) {
    x[i] = 1 + (double)i / n;
    for (int j = 0; j < n; ++j) A[i][j] = (double)((i + j) % n) / (5.0 * n);
  }
}

static void atax(int size, double a[][N], const double* in, double* out) {
  for (int i = 0; i < size; ++i) out[i] = 0;
  for (int i = 0; i < size; ++i) {
    double product = 0;
    for (int j = 0; j < size; ++j) product += a[i][j] * in[j];
    for (int j = 0; j < size; ++j) out[j] += a[i][j] * product;
  }
}

static void work(void) {
  for (int round = 0; round < ROUNDS; ++round) atax(n, A, x, y);
}
static double sum(void) { return sum_of(y, N); }
