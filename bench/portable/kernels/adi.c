// Heat in a plane by alternating directions, implicit: columns, then rows
#include "../kernel.h"

#define N 600
#define ROUNDS 52

static int n, rounds;
static double (*U)[N], (*V)[N], (*P)[N], (*Q)[N];

static void prepare(void) {
  n = scaled(N);
  rounds = scaled(ROUNDS);
  U = room(sizeof(double[N][N]));
  V = room(sizeof(double[N][N]));
  P = room(sizeof(double[N][N]));
  Q = room(sizeof(double[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) U[i][j] = (double)(i + n - j) / n;
}

static void adi(int steps, int size, double u[][N], double v[][N], double p[][N], double q[][N]) {
  const double dx = 1.0 / size;
  const double dt = 1.0 / steps;
  const double one = 2 * dt / (dx * dx);
  const double two = dt / (dx * dx);
  const double a = -one / 2, b = 1 + one, c = a;
  const double d = -two / 2, e = 1 + two, f = d;
  for (int t = 1; t <= steps; ++t) {
    for (int i = 1; i < size - 1; ++i) {
      v[0][i] = 1;
      p[i][0] = 0;
      q[i][0] = v[0][i];
      for (int j = 1; j < size - 1; ++j) {
        p[i][j] = -c / (a * p[i][j - 1] + b);
        q[i][j] =
            (-d * u[j][i - 1] + (1 + 2 * d) * u[j][i] - f * u[j][i + 1] - a * q[i][j - 1]) / (a * p[i][j - 1] + b);
      }
      v[size - 1][i] = 1;
      for (int j = size - 2; j >= 1; --j) v[j][i] = p[i][j] * v[j + 1][i] + q[i][j];
    }
    for (int i = 1; i < size - 1; ++i) {
      u[i][0] = 1;
      p[i][0] = 0;
      q[i][0] = u[i][0];
      for (int j = 1; j < size - 1; ++j) {
        p[i][j] = -f / (d * p[i][j - 1] + e);
        q[i][j] =
            (-a * v[i - 1][j] + (1 + 2 * a) * v[i][j] - c * v[i + 1][j] - d * q[i][j - 1]) / (d * p[i][j - 1] + e);
      }
      u[i][size - 1] = 1;
      for (int j = size - 2; j >= 1; --j) u[i][j] = p[i][j] * u[i][j + 1] + q[i][j];
    }
  }
}

static void work(void) { adi(rounds, n, U, V, P, Q); }
static double sum(void) { return sum_of(&U[0][0], (size_t)N * N); }
