// Three points averaged, two arrays in turn
#include "../kernel.h"

#define N 4000
#define ROUNDS 160000

static int n, rounds;
static double *A, *B;

static void prepare(void) {
  n = scaled(N);
  rounds = scaled(ROUNDS);
  A = room(sizeof(double[N]));
  B = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i) {
    A[i] = (i + 2.0) / n;
    B[i] = (i + 3.0) / n;
  }
}

static void jacobi(int steps, int size, double* a, double* b) {
  for (int t = 0; t < steps; ++t) {
    for (int i = 1; i < size - 1; ++i) b[i] = 0.33333 * (a[i - 1] + a[i] + a[i + 1]);
    for (int i = 1; i < size - 1; ++i) a[i] = 0.33333 * (b[i - 1] + b[i] + b[i + 1]);
  }
}

static void work(void) { jacobi(rounds, n, A, B); }
static double sum(void) { return sum_of(A, N); }
