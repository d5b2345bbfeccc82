// A quicksort of our own: loops whose number of rounds nobody knows, and recursion.
#include "../kernel.h"

#define N 4000000

static int n;
static int* values;

static void prepare(void) {
  n = scaled(N);
  values = room(sizeof(int[N]));
}
static void fill(void) {}

static void sort(int* a, long low, long high) {
  while (low < high) {
    const int pivot = a[low + (high - low) / 2];
    long i = low - 1;
    long j = high + 1;
    for (;;) {
      do ++i;
      while (a[i] < pivot);
      do --j;
      while (a[j] > pivot);
      if (i >= j) break;
      const int held = a[i];
      a[i] = a[j];
      a[j] = held;
    }
    sort(a, low, j);
    low = j + 1;
  }
}

static void work(void) {
  uint64_t state = 1;
  for (int i = 0; i < n; ++i) values[i] = (int)next_random(&state);
  sort(values, 0, n - 1);
}

static double sum(void) {
  double total = 0;
  for (int i = 0; i < n; ++i) total += (double)values[i] * (i % 7 + 1);
  return total;
}
