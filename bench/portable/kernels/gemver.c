// A += u1 v1' + u2 v2'; x += beta A' y + z; w += alpha A x
#include "../kernel.h"

#define N 1600
#define ROUNDS 48

static int n;
static double (*A)[N], *u1, *u2, *v1, *v2, *w, *x, *y, *z;

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  u1 = room(sizeof(double[N]));
  u2 = room(sizeof(double[N]));
  v1 = room(sizeof(double[N]));
  v2 = room(sizeof(double[N]));
  w = room(sizeof(double[N]));
  x = room(sizeof(double[N]));
  y = room(sizeof(double[N]));
  z = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i) {
    u1[i] = i / 1e6;
    u2[i] = (i + 1.0) / n / 2e6;
    v1[i] = (i + 1.0) / n / 4e6;
    v2[i] = (i + 1.0) / n / 6e6;
    y[i] = (i + 1.0) / n / 8.0;
    z[i] = (i + 1.0) / n / 9.0;
    x[i] = 0;
    w[i] = 0;
    for (int j = 0; j < n; ++j) A[i][j] = (double)(i * j % n) / n / n;
  }
}

static void gemver(int size, double alpha, double beta, double a[][N], const double* au, const double* av,
                   const double* bu, const double* bv, double* w_out, double* x_out, const double* y_in,
                   const double* z_in) {
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) a[i][j] += au[i] * av[j] + bu[i] * bv[j];
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) x_out[i] += beta * a[j][i] * y_in[j];
  for (int i = 0; i < size; ++i) x_out[i] += z_in[i];
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) w_out[i] += alpha * a[i][j] * x_out[j];
}

static void work(void) {
  for (int round = 0; round < ROUNDS; ++round) gemver(n, 1.5, 1.2, A, u1, v1, u2, v2, w, x, y, z);
}
static double sum(void) { return sum_of(w, N); }
