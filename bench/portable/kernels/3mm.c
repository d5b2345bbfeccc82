// G = (A B) (C D)
#include "../kernel.h"

#define N 528

static int n;
static double (*A)[N], (*B)[N], (*C)[N], (*D)[N], (*E)[N], (*F)[N], (*G)[N];

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  B = room(sizeof(double[N][N]));
  C = room(sizeof(double[N][N]));
  D = room(sizeof(double[N][N]));
  E = room(sizeof(double[N][N]));
  F = room(sizeof(double[N][N]));
  G = room(sizeof(double[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      A[i][j] = (double)((i * j + 1) % n) / (5.0 * n);
      B[i][j] = (double)((i * (j + 1) + 2) % n) / (5.0 * n);
      C[i][j] = (double)(i * (j + 3) % n) / (5.0 * n);
      D[i][j] = (double)((i * (j + 2) + 2) % n) / (5.0 * n);
    }
}

static void product(int size, double to[][N], double a[][N], double b[][N]) {
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      to[i][j] = 0;
      for (int k = 0; k < size; ++k) to[i][j] += a[i][k] * b[k][j];
    }
}

static void work(void) {
  product(n, E, A, B);
  product(n, F, C, D);
  product(n, G, E, F);
}
static double sum(void) { return sum_of(&G[0][0], (size_t)N * N); }
