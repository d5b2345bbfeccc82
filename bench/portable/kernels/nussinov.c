// How an RNA folds: the largest number of pairs, by a table
#include "../kernel.h"

#define N 1480

static int n;
static char* base;
static int (*T)[N];

static void prepare(void) {
  n = scaled(N);
  base = room(N);
  T = room(sizeof(int[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i) base[i] = (char)((i + 1) % 4);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) T[i][j] = 0;
}

static inline int larger(int a, int b) { return a > b ? a : b; }

static void nussinov(int size, const char* sequence, int t[][N]) {
  for (int i = size - 1; i >= 0; --i)
    for (int j = i + 1; j < size; ++j) {
      if (j - 1 >= 0) t[i][j] = larger(t[i][j], t[i][j - 1]);
      if (i + 1 < size) t[i][j] = larger(t[i][j], t[i + 1][j]);
      if (j - 1 >= 0 && i + 1 < size) {
        const int pair = i < j - 1 && sequence[i] + sequence[j] == 3;
        t[i][j] = larger(t[i][j], t[i + 1][j - 1] + pair);
      }
      for (int k = i + 1; k < j; ++k) t[i][j] = larger(t[i][j], t[i][k] + t[k + 1][j]);
    }
}

static void work(void) { nussinov(n, base, T); }
static double sum(void) {
  double total = 0;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) total += T[i][j] * (j % 7 + 1);
  return total;
}
