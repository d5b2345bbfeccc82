// A = L L', in place
#include <math.h>

#include "../kernel.h"

#define N 1520

static int n;
static double (*A)[N];

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) A[i][j] = heavy(i, j, n);
}

static void cholesky(int size, double a[][N]) {
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < i; ++j) {
      for (int k = 0; k < j; ++k) a[i][j] -= a[i][k] * a[j][k];
      a[i][j] /= a[j][j];
    }
    for (int k = 0; k < i; ++k) a[i][i] -= a[i][k] * a[i][k];
    a[i][i] = sqrt(a[i][i]);
  }
}

static void work(void) { cholesky(n, A); }
static double sum(void) { return sum_of(&A[0][0], (size_t)N * N); }
