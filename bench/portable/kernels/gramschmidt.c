// A = Q R, columns made orthogonal one by one
#include <math.h>

#include "../kernel.h"

#define N 624

static int n;
static double (*A)[N], (*Q)[N], (*R)[N];

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  Q = room(sizeof(double[N][N]));
  R = room(sizeof(double[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) A[i][j] = (double)(i * j % n) / n * 100 + 10 + (i == j ? n : 0);
}

static void gramschmidt(int size, double a[][N], double q[][N], double r[][N]) {
  for (int k = 0; k < size; ++k) {
    double square = 0;
    for (int i = 0; i < size; ++i) square += a[i][k] * a[i][k];
    r[k][k] = sqrt(square);
    for (int i = 0; i < size; ++i) q[i][k] = a[i][k] / r[k][k];
    for (int j = k + 1; j < size; ++j) {
      r[k][j] = 0;
      for (int i = 0; i < size; ++i) r[k][j] += q[i][k] * a[i][j];
      for (int i = 0; i < size; ++i) a[i][j] -= q[i][k] * r[k][j];
    }
  }
}

static void work(void) { gramschmidt(n, A, Q, R); }
static double sum(void) { return sum_of(&R[0][0], (size_t)N * N); }
