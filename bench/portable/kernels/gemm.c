// C = beta C + alpha A B
#include "../kernel.h"

#define N 1056

static int n;
static double (*A)[N], (*B)[N], (*C)[N];

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  B = room(sizeof(double[N][N]));
  C = room(sizeof(double[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      A[i][j] = (double)(i * (j + 1) % n) / n;
      B[i][j] = (double)(i * (j + 2) % n) / n;
      C[i][j] = (double)((i * j + 1) % n) / n;
    }
}

static void gemm(int size, double alpha, double beta, double c[][N], double a[][N], double b[][N]) {
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < size; ++j) c[i][j] *= beta;
    for (int k = 0; k < size; ++k)
      for (int j = 0; j < size; ++j) c[i][j] += alpha * a[i][k] * b[k][j];
  }
}

static void work(void) { gemm(n, 1.5, 1.2, C, A, B); }
static double sum(void) { return sum_of(&C[0][0], (size_t)N * N); }
