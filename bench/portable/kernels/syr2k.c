// C = beta C + alpha A B' + alpha B A', the lower half
#include "../kernel.h"

#define N 720

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
      A[i][j] = (double)((i * j + 1) % n) / n;
      B[i][j] = (double)((i * j + 2) % n) / n;
      C[i][j] = (double)((i * j + 3) % n) / n;
    }
}

static void syr2k(int size, double alpha, double beta, double c[][N], double a[][N], double b[][N]) {
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j <= i; ++j) c[i][j] *= beta;
    for (int k = 0; k < size; ++k)
      for (int j = 0; j <= i; ++j) c[i][j] += a[j][k] * alpha * b[i][k] + b[j][k] * alpha * a[i][k];
  }
}

static void work(void) { syr2k(n, 1.5, 1.2, C, A, B); }
static double sum(void) { return sum_of(&C[0][0], (size_t)N * N); }
