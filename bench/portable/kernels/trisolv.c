// L x = b by substitution
#include "../kernel.h"

#define N 1800
#define ROUNDS 320

static int n;
static double (*L)[N], *x, *b;

static void prepare(void) {
  n = scaled(N);
  L = room(sizeof(double[N][N]));
  x = room(sizeof(double[N]));
  b = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i) {
    b[i] = i;
    for (int j = 0; j <= i; ++j) L[i][j] = (double)(i + n - j + 1) * 2 / n;
  }
}

static void trisolv(int size, double l[][N], double* out, const double* in) {
  for (int i = 0; i < size; ++i) {
    out[i] = in[i];
    for (int j = 0; j < i; ++j) out[i] -= l[i][j] * out[j];
    out[i] /= l[i][i];
  }
}

static void work(void) {
  for (int round = 0; round < ROUNDS; ++round) trisolv(n, L, x, b);
}
static double sum(void) { return sum_of(x, N); }
