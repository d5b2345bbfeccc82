// y = alpha A x + beta B x
#include "../kernel.h"

#define N 1400
#define ROUNDS 140

static int n;
static double (*A)[N], (*B)[N], *x, *y;

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  B = room(sizeof(double[N][N]));
  x = room(sizeof(double[N]));
  y = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i) {
    x[i] = (double)(i % n) / n;
    for (int j = 0; j < n; ++j) {
      A[i][j] = (double)((i * j + 1) % n) / n;
      B[i][j] = (double)((i * j + 2) % n) / n;
    }
  }
}

static void gesummv(int size, double alpha, double beta, double a[][N], double b[][N], const double* in, double* out) {
  for (int i = 0; i < size; ++i) {
    double of_a = 0;
    double of_b = 0;
    for (int j = 0; j < size; ++j) {
      of_a += a[i][j] * in[j];
      of_b += b[i][j] * in[j];
    }
    out[i] = alpha * of_a + beta * of_b;
  }
}

static void work(void) {
  for (int round = 0; round < ROUNDS; ++round) gesummv(n, 1.5, 1.2, A, B, x, y);
}
static double sum(void) { return sum_of(y, N); }
