// Yule-Walker equations by Durbin's recursion
#include "../kernel.h"

#define N 2000
#define ROUNDS 240

static int n;
static double *r, *y, *z;

static void prepare(void) {
  n = scaled(N);
  r = room(sizeof(double[N]));
  y = room(sizeof(double[N]));
  z = room(sizeof(double[N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i) r[i] = n + 1 - i;
}

static void durbin(int size, const double* in, double* out, double* next) {
  double alpha = -in[0];
  double beta = 1;
  out[0] = -in[0];
  for (int k = 1; k < size; ++k) {
    beta *= 1 - alpha * alpha;
    double total = 0;
    for (int i = 0; i < k; ++i) total += in[k - i - 1] * out[i];
    alpha = -(in[k] + total) / beta;
    for (int i = 0; i < k; ++i) next[i] = out[i] + alpha * out[k - i - 1];
    for (int i = 0; i < k; ++i) out[i] = next[i];
    out[k] = alpha;
  }
}

static void work(void) {
  for (int round = 0; round < ROUNDS; ++round) durbin(n, r, y, z);
}
static double sum(void) { return sum_of(y, N); }
