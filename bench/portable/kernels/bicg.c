// s = A' r and q = A p in one go over A
#include "../kernel.h"

#define N 1800
#define ROUNDS 36

static int n;
static double (*A)[N], *p, *q, *r, *s;

static void prepare(void) {
  n = scaled(N);
  A = room(sizeof(double[N][N]));
  p = room(sizeof(double[N]));
  q = room(sizeof(double[N]));
  r = room(sizeof(double[N]));
  s = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i) {
    p[i] = (double)(i % n) / n;
    r[i] = (double)((i + 3) % n) / n;
    for (int j = 0; j < n; ++j) A[i][j] = (double)(i * (j + 1) % n) / n;
  }
}

static void bicg(int size, double a[][N], double* s_out, double* q_out, const double* p_in, const double* r_in) {
  for (int i = 0; i < size; ++i) s_out[i] = 0;
  for (int i = 0; i < size; ++i) {
    q_out[i] = 0;
    for (int j = 0; j < size; ++j) {
      s_out[j] += r_in[i] * a[i][j];
      q_out[i] += a[i][j] * p_in[j];
    }
  }
}

static void work(void) {
  for (int round = 0; round < ROUNDS; ++round) bicg(n, A, s, q, p, r);
}
static double sum(void) { return sum_of(s, N) + sum_of(q, N); }
