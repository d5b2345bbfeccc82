// Stacks: 100000 frames of recursion, mutual recursion through pointers, large arrays, arrays of variable size in loops that are
// left by goto, alloca in loops, over-aligned ones, addresses of other frames' variables.
#include <alloca.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "step.h"

struct link {
  struct link* up;
  int depth;
};

__attribute__((noinline)) static uint64_t down(int depth, struct link* up, uint64_t seed) {
  struct link here = {up, depth};
  if (depth == 0) {
    uint64_t sum = 0;
    for (struct link* l = &here; l; l = l->up)
      sum = sum * 3 + (uint64_t)l->depth + (l->depth % 10000 == 0 ? (uint64_t)step() : 0);
    return sum + seed;
  }
  uint64_t r = down(depth - 1, &here, seed * 6364136223846793005u + 1);
  return r ^ (seed >> 7) ^ (uint64_t)here.depth;
}

typedef long (*walker)(int, long*);
static long odd(int n, long* total);
static walker volatile odd_at = odd;
static long even(int n, long* total) {
  long mine = n * 3L;
  if (n == 0) return *total;
  *total += mine;
  long r = odd_at(n - 1, &mine);
  return r + mine;
}
static long odd(int n, long* total) {
  volatile char pad[33];
  memset((char*)pad, n, sizeof pad);
  *total -= n;
  if (n % 500 == 1) step();
  long r = n ? even(n - 1, total) : 0;
  return r + pad[n % 33];
}

__attribute__((noinline)) static unsigned large(int n) {
  unsigned a[300000];
  for (int i = 0; i < 300000; i++) a[i] = (unsigned)(i * n);
  for (int i = 0; i < 20; i++) a[i * 1000] += (unsigned)step();
  unsigned sum = n > 1 ? large(n - 1) : 0;
  for (int i = 0; i < 300000; i++) sum = sum * 5 + a[i];
  return sum;
}

__attribute__((noinline)) static long arrays(int n) {
  long sum = 0;
  int i = 0;
again:
  for (; i < n; i++) {
    int a[i + 1], *p = &a[i];
    for (int k = 0; k <= i; k++) a[k] = k + step();
    *p += 5;
    if (i % 3 == 1) {
      i += 2;
      sum += *p;
      goto again;
    }
    {
      long s[2][i + 3];
      memset(s, i, sizeof s);
      s[1][i] = step();
      sum += s[1][i] + s[0][2] % 100 + (long)sizeof s;
      if (i % 5 == 4) continue;
    }
    sum += a[i / 2] + *p;
  }
  return sum;
}

__attribute__((noinline)) static long allocated(int n) {
  struct item {
    struct item* next;
    long value;
  }* list = NULL;
  for (int i = 0; i < n; i++) {
    struct item* it = alloca(sizeof *it);
    *it = (struct item){list, i + step()};
    list = it;
    if (i == n / 2) {
      char* wide = __builtin_alloca_with_align(77, 64 * 8);
      strcpy(wide, "wide");
      list->value += (long)((uintptr_t)wide % 64) + wide[1];
    }
  }
  long sum = 0;
  for (; list; list = list->next) sum = sum * 2 + list->value + step();
  return sum;
}

static void matrix(int rows, int columns, double m[rows][columns]) {
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < columns; c++) m[r][c] = r * 10 + c + step();
}

int main(void) {
  printf("%llx\n", (unsigned long long)down(100000, NULL, 42));
  long total = 0;
  printf("%ld\n", even(5001, &total));
  printf("%ld\n", total);
  printf("%u\n", large(3));
  printf("%ld\n", arrays(40));
  printf("%ld\n", allocated(60));
  for (int n = 3; n < 6; n++) {
    double m[n][n + 1];
    matrix(n, n + 1, m);
    printf("%g %zu\n", m[n - 1][n], sizeof m);
  }
  return 0;
}
