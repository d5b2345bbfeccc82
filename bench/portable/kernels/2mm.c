// D = beta D + alpha A B C
#include "../kernel.h"

#define N 592

static int n;
static double (*A)[N], (*B)[N], (*C)[N], (*D)[N], (*T)[N];

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  B = room(sizeof(double[N][N]));
  C = room(sizeof(double[N][N]));
  D = room(sizeof(double[N][N]));
  T = room(sizeof(double[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      A[i][j] = (double)((i * j + 1) % n) / n;
      B[i][j] = (double)(i * (j + 1) % n) / n;
      C[i][j] = (double)((i * (j + 3) + 1) % n) / n;
      D[i][j] = (double)(i * (j + 2) % n) / n;
    }
}

static void two_products(int size, double alpha, double beta, double t[][N], double a[][N], double b[][N],
                         double c[][N], double d[][N]) {
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      t[i][j] = 0;
      for (int k = 0; k < size; ++k) t[i][j] += alpha * a[i][k] * b[k][j];
    }
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      d[i][j] *= beta;
      for (int k = 0; k < size; ++k) d[i][j] += t[i][k] * c[k][j];
    }
}

static void work(void) { two_products(n, 1.5, 1.2, T, A, B, C, D); }
static double sum(void) { return sum_of(&D[0][0], (size_t)N * N); }
