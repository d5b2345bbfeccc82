// C = beta C + alpha A B, of the symmetric A only the lower half is there
#include "../kernel.h"

#define N 760

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
      A[i][j] = j <= i ? (double)((i + j) % 100) / n : -999;
      B[i][j] = (double)((n + i - j) % 100) / n;
      C[i][j] = (double)((i + j) % 100) / n;
    }
}

static void symm(int size, double alpha, double beta, double c[][N], double a[][N], double b[][N]) {
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      double above = 0;
      for (int k = 0; k < i; ++k) {
        c[k][j] += alpha * b[i][j] * a[i][k];
        above += b[k][j] * a[i][k];
      }
      c[i][j] = beta * c[i][j] + alpha * b[i][j] * a[i][i] + alpha * above;
    }
}

static void work(void) { symm(n, 1.5, 1.2, C, A, B); }
static double sum(void) { return sum_of(&C[0][0], (size_t)N * N); }
