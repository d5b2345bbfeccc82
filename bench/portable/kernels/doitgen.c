// Each row of a cube of numbers times a matrix
#include "../kernel.h"

#define N 176

static int n;
static double (*A)[N][N], (*B)[N], *row;

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N][N]));
  B = room(sizeof(double[N][N]));
  row = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      B[i][j] = (double)(i * j % n) / n;
      for (int k = 0; k < n; ++k) A[i][j][k] = (double)((i * j + k) % n) / n;
    }
}

static void doitgen(int size, double a[][N][N], double b[][N], double* to) {
  for (int r = 0; r < size; ++r)
    for (int q = 0; q < size; ++q) {
      for (int p = 0; p < size; ++p) {
        to[p] = 0;
        for (int s = 0; s < size; ++s) to[p] += a[r][q][s] * b[s][p];
      }
      for (int p = 0; p < size; ++p) a[r][q][p] = to[p];
    }
}

static void work(void) { doitgen(n, A, B, row); }
static double sum(void) { return sum_of(&A[0][0][0], (size_t)N * N * N); }
