// Product of matrices, block by block.
#include "../kernel.h"

#define N 1280
#define BLOCK 32

static int n;
static double *a, *b, *c;

static void prepare(void) {
  n = scaled(N) / BLOCK * BLOCK;
  if (n < BLOCK) n = BLOCK;
  a = room(sizeof(double) * N * N);
  b = room(sizeof(double) * N * N);
  c = room(sizeof(double) * N * N);
}

static void fill(void) {
  for (int i = 0; i < n * n; ++i) {
    a[i] = i % 13;
    b[i] = i % 11;
    c[i] = 0;
  }
}

static void block(int size, double* restrict to, const double* restrict left, const double* restrict right) {
  for (int i = 0; i < BLOCK; ++i)
    for (int k = 0; k < BLOCK; ++k)
      for (int j = 0; j < BLOCK; ++j) to[i * size + j] += left[i * size + k] * right[k * size + j];
}

static void work(void) {
  for (int i = 0; i < n; i += BLOCK)
    for (int k = 0; k < n; k += BLOCK)
      for (int j = 0; j < n; j += BLOCK) block(n, c + i * n + j, a + i * n + k, b + k * n + j);
}
static double sum(void) { return sum_of(c, (size_t)n * (size_t)n); }
