// Prime numbers by Eratosthenes.
#include "../kernel.h"

#define N 4000000
#define ROUNDS 30

static int n;
static char* marked;
static long primes;

static void prepare(void) {
  n = scaled(N);
  marked = room(N);
}
static void fill(void) { primes = 0; }

static long sieve(char* mark, int size) {
  memset(mark, 0, (size_t)size);
  for (int i = 2; (long)i * i < size; ++i)
    if (!mark[i])
      for (int k = i * i; k < size; k += i) mark[k] = 1;
  long count = 0;
  for (int i = 2; i < size; ++i) count += !mark[i];
  return count;
}

static void work(void) {
  for (int round = 0; round < ROUNDS; ++round) primes += sieve(marked, n);
}
static double sum(void) { return (double)primes; }
