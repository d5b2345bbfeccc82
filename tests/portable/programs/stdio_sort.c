// Sorting with a call-back in progress, printf, malloc, recursion.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int cmp(const void* a, const void* b) { return *(const int*)a - *(const int*)b; }
static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
int main(int argc, char** argv) {
  int n = argc > 1 ? atoi(argv[1]) : 24;
  int v[1000];
  unsigned s = 1;
  for (int r = 0; r < 20; r++) {
    for (int i = 0; i < 1000; i++) {
      s = s * 1103515245u + 12345u;
      v[i] = (int)(s >> 8) % 100000;
    }
    qsort(v, 1000, sizeof *v, cmp);
    char* b = malloc(100);
    snprintf(b, 100, "round %d: min %d max %d fib %d %.6f", r, v[0], v[999], fib(n - r % 3), 1.0 / (r + 1));
    puts(b);
    free(b);
  }
  return 3;
}
