// How soon each point of the plane escapes.
#include "../kernel.h"

#define N 1600
#define ROUNDS 300

static int n;
static long total;

static void prepare(void) { n = scaled(N); }
static void fill(void) { total = 0; }

static int rounds_of(double cx, double cy) {
  double x = 0, y = 0;
  int i = 0;
  for (; i < ROUNDS && x * x + y * y < 4; ++i) {
    const double next = x * x - y * y + cx;
    y = 2 * x * y + cy;
    x = next;
  }
  return i;
}

static void work(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) total += rounds_of(3.0 * i / n - 2.2, 2.4 * j / n - 1.2);
}
static double sum(void) { return (double)total; }
