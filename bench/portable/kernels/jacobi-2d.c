// Five points averaged, two grids in turn
#include "../kernel.h"

#define N 800
#define ROUNDS 400

static int n, rounds;
static double (*A)[N], (*B)[N];

static void prepare(void) {
  n = scaled(N);
  rounds = scaled(ROUNDS);
  A = room(sizeof(double[N][N]));
  B = room(sizeof(double[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      A[i][j] = (double)i * (j + 2) / n;
      B[i][j] = (double)i * (j + 3) / n;
    }
}

static void jacobi(int steps, int size, double a[][N], double b[][N]) {
  for (int t = 0; t < steps; ++t) {
    for (int i = 1; i < size - 1; ++i)
      for (int j = 1; j < size - 1; ++j)
        b[i][j] = 0.2 * (a[i][j] + a[i][j - 1] + a[i][j + 1] + a[i + 1][j] + a[i - 1][j]);
    for (int i = 1; i < size - 1; ++i)
      for (int j = 1; j < size - 1; ++j)
        a[i][j] = 0.2 * (b[i][j] + b[i][j - 1] + b[i][j + 1] + b[i + 1][j] + b[i - 1][j]);
  }
}

static void work(void) { jacobi(rounds, n, A, B); }
static double sum(void) { return sum_of(&A[0][0], (size_t)N * N); }
