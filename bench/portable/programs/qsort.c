// The library's qsort with a call-back.
#include "../kernel.h"

#define N 2000000

static int n;
static int* values;

static void prepare(void) {
  n = scaled(N);
  values = room(sizeof(int[N]));
}
static void fill(void) {}

static int compare(const void* a, const void* b) {
  const int one = *(const int*)a;
  const int other = *(const int*)b;
  return (one > other) - (one < other);
}

static void work(void) {
  uint64_t state = 1;
  for (int i = 0; i < n; ++i) values[i] = (int)next_random(&state);
  qsort(values, (size_t)n, sizeof *values, compare);
}

static double sum(void) {
  double total = 0;
  for (int i = 0; i < n; ++i) total += (double)values[i] * (i % 7 + 1);
  return total;
}
