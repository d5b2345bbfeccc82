// Loops with so many rounds that they are cut into strips: moved in the middle, vectorised or not, with one way out and with two.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t mix(uint64_t n) {
  uint64_t x = 1;
  for (uint64_t i = 0; i < n; ++i) x = x * 6364136223846793005u + i;
  return x;
}

static uint32_t add(const uint32_t* a, unsigned n) {
  uint32_t sum = 0;
  for (unsigned i = 0; i < n; ++i) sum += a[i] ^ i;
  return sum;
}

static void scale(float* y, const float* x, float by, int n) {
  for (int i = n - 1; i >= 0; i -= 3) y[i] += x[i] * by;
}

static long find(const uint32_t* a, long n, uint32_t what) {
  for (long i = 0; i < n; ++i)
    if (a[i] == what) return i;
  return -1;
}

/// Counts over the whole of its type: 2^k - 1 ways back.
static unsigned wrap(unsigned char seed, unsigned long n) {
  unsigned total = 0;
  for (unsigned long i = 0; i < n; ++i) {
    unsigned char c = seed;
    do total += c & (unsigned char)i;
    while (++c != 0);
  }
  return total;
}

int main(int argc, char** argv) {
  const long n = argc > 1 ? atol(argv[1]) : 3000000;  // what the compiler can't know
  uint32_t* a = malloc((size_t)n * sizeof *a);
  float* x = malloc((size_t)n * sizeof *x);
  float* y = calloc((size_t)n, sizeof *y);
  if (!a || !x || !y) return 1;
  for (long i = 0; i < n; ++i) a[i] = (uint32_t)(i * 2654435761u), x[i] = (float)(i % 1000) / 8;
  printf("mix %llx\n", (unsigned long long)mix((uint64_t)n * 2));
  for (int i = 0; i < 3; ++i) printf("add %x\n", add(a + i, (unsigned)(n - i)));
  for (int i = 1; i < 4; ++i) scale(y, x, (float)i / 4, (int)n - i);
  double sum = 0;
  for (long i = 0; i < n; ++i) sum += y[i];
  printf("scale %.3f\n", sum);
  printf("find %ld %ld %ld\n", find(a, n, a[n - 2]), find(a, n, a[3]), find(a, n, 1));
  printf("wrap %u\n", wrap((unsigned char)argc, (unsigned long)n / 200));
  printf("none %llx %x %ld\n", (unsigned long long)mix(0), add(a, 0), find(a, 0, 1));
  free(a);
  free(x);
  free(y);
  return 0;
}
