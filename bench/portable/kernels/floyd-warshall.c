// Shortest ways between all points
#include "../kernel.h"

#define N 1000

static int n;
static int (*W)[N];

static void prepare(void) {
  n = scaled(N);
  W = room(sizeof(int[N][N]));
}

static void fill(void) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j)
      W[i][j] = (i + j) % 13 == 0 || (i + j) % 7 == 0 || (i + j) % 11 == 0 ? 999 : i * j % 7 + 1;
}

static void floyd_warshall(int size, int w[][N]) {
  for (int k = 0; k < size; ++k)
    for (int i = 0; i < size; ++i)
      for (int j = 0; j < size; ++j) w[i][j] = w[i][j] < w[i][k] + w[k][j] ? w[i][j] : w[i][k] + w[k][j];
}

static void work(void) { floyd_warshall(n, W); }
static double sum(void) {
  double total = 0;
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) total += W[i][j] * (j % 7 + 1);
  return total;
}
