// Heat in a cube, two grids in turn
#include "../kernel.h"

#define N 112
#define ROUNDS 140

static int n, rounds;
static double (*A)[N][N], (*B)[N][N];

static void prepare(void) {
  n = scaled(N);
  rounds = scaled(ROUNDS);
  A = room(sizeof(double[N][N][N]));
  B = room(sizeof(double[N][N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j)
      for (int k = 0; k < n; ++k) A[i][j][k] = B[i][j][k] = (double)(i + j + (n - k)) * 10 / n;
}

static void step(int size, double to[][N][N], double from[][N][N]) {
  for (int i = 1; i < size - 1; ++i)
    for (int j = 1; j < size - 1; ++j)
      for (int k = 1; k < size - 1; ++k)
        to[i][j][k] = 0.125 * (from[i + 1][j][k] - 2 * from[i][j][k] + from[i - 1][j][k]) +
                      0.125 * (from[i][j + 1][k] - 2 * from[i][j][k] + from[i][j - 1][k]) +
                      0.125 * (from[i][j][k + 1] - 2 * from[i][j][k] + from[i][j][k - 1]) + from[i][j][k];
}

static void work(void) {
  for (int t = 0; t < rounds; ++t) {
    step(n, B, A);
    step(n, A, B);
  }
}
static double sum(void) { return sum_of(&A[0][0][0], (size_t)N * N * N); }
