// A x = b by A = L U, sums in a variable
#include "../kernel.h"

#define N 960

static int n;
static double (*A)[N], *b, *x, *y;

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  b = room(sizeof(double[N]));
  x = room(sizeof(double[N]));
  y = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) A[i][j] = heavy(i, j, n);
}

static void ludcmp(int size, double a[][N], const double* in, double* out, double* half) {
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < i; ++j) {
      double w = a[i][j];
      for (int k = 0; k < j; ++k) w -= a[i][k] * a[k][j];
      a[i][j] = w / a[j][j];
    }
    for (int j = i; j < size; ++j) {
      double w = a[i][j];
      for (int k = 0; k < i; ++k) w -= a[i][k] * a[k][j];
      a[i][j] = w;
    }
  }
  for (int i = 0; i < size; ++i) {
    double w = in[i];
    for (int j = 0; j < i; ++j) w -= a[i][j] * half[j];
    half[i] = w;
  }
  for (int i = size - 1; i >= 0; --i) {
    double w = half[i];
    for (int j = i + 1; j < size; ++j) w -= a[i][j] * out[j];
    out[i] = w / a[i][i];
  }
}

static void work(void) {
  for (int i = 0; i < n; ++i) b[i] = (i + 1.0) / n / 2 + 4;
  ludcmp(n, A, b, x, y);
}
static double sum(void) { return sum_of(x, N); }
