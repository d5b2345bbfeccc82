// Nine points averaged, in place
#include "../kernel.h"

#define N 800
#define ROUNDS 88

static int n, rounds;
static double (*A)[N];

static void prepare(void) {
  n = scaled(N);
  rounds = scaled(ROUNDS);
  A = room(sizeof(double[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) A[i][j] = ((double)i * (j + 2) + 2) / n;
}

static void seidel(int steps, int size, double a[][N]) {
  for (int t = 0; t < steps; ++t)
    for (int i = 1; i < size - 1; ++i)
      for (int j = 1; j < size - 1; ++j)
        a[i][j] = (a[i - 1][j - 1] + a[i - 1][j] + a[i - 1][j + 1] + a[i][j - 1] + a[i][j] + a[i][j + 1] +
                   a[i + 1][j - 1] + a[i + 1][j] + a[i + 1][j + 1]) /
                  9.0;
}

static void work(void) { seidel(rounds, n, A); }
static double sum(void) { return sum_of(&A[0][0], (size_t)N * N); }
