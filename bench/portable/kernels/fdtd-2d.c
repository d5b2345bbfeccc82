// An electric and a magnetic field by finite differences
#include "../kernel.h"

#define N 800
#define ROUNDS 260

static int n, rounds;
static double (*ex)[N], (*ey)[N], (*hz)[N];

static void prepare(void) {
  n = scaled(N);
  rounds = scaled(ROUNDS);
  ex = room(sizeof(double[N][N]));
  ey = room(sizeof(double[N][N]));
  hz = room(sizeof(double[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      ex[i][j] = (double)i * (j + 1) / n;
      ey[i][j] = (double)i * (j + 2) / n;
      hz[i][j] = (double)i * (j + 3) / n;
    }
}

static void fdtd(int steps, int size, double x[][N], double y[][N], double z[][N]) {
  for (int t = 0; t < steps; ++t) {
    for (int j = 0; j < size; ++j) y[0][j] = t;
    for (int i = 1; i < size; ++i)
      for (int j = 0; j < size; ++j) y[i][j] -= 0.5 * (z[i][j] - z[i - 1][j]);
    for (int i = 0; i < size; ++i)
      for (int j = 1; j < size; ++j) x[i][j] -= 0.5 * (z[i][j] - z[i][j - 1]);
    for (int i = 0; i < size - 1; ++i)
      for (int j = 0; j < size - 1; ++j) z[i][j] -= 0.7 * (x[i][j + 1] - x[i][j] + y[i + 1][j] - y[i][j]);
  }
}

static void work(void) { fdtd(rounds, n, ex, ey, hz); }
static double sum(void) { return sum_of(&hz[0][0], (size_t)N * N); }
