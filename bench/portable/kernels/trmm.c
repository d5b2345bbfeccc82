// B = alpha A' B, A lower triangular with ones on its diagonal
#include "../kernel.h"

#define N 800

static int n;
static double (*A)[N], (*B)[N];

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  B = room(sizeof(double[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      A[i][j] = j < i ? (double)((i + j) % n) / n : j == i;
      B[i][j] = (double)((n + i - j) % n) / n;
    }
}

static void trmm(int size, double alpha, double a[][N], double b[][N]) {
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      for (int k = i + 1; k < size; ++k) b[i][j] += a[k][i] * b[k][j];
      b[i][j] *= alpha;
    }
}

static void work(void) { trmm(n, 1.5, A, B); }
static double sum(void) { return sum_of(&B[0][0], (size_t)N * N); }
