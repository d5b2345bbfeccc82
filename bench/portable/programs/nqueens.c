// All ways to put queens on a board: recursion with a loop in it and an array of marks.
#include "../kernel.h"

static int n;
static long found;
static char column[32], rising[64], falling[64];

static void prepare(void) { n = 13 - (100 - percent) / 20; }
static void fill(void) { found = 0; }

static long place(int row) {
  if (row == n) return 1;
  long ways = 0;
  for (int c = 0; c < n; ++c) {
    if (column[c] || rising[row + c] || falling[row - c + n]) continue;
    column[c] = rising[row + c] = falling[row - c + n] = 1;
    ways += place(row + 1);
    column[c] = rising[row + c] = falling[row - c + n] = 0;
  }
  return ways;
}

static void work(void) { found += place(0); }
static double sum(void) { return (double)found; }
