// Fibonacci numbers by recursion: nothing but calls.
#include "../kernel.h"

static int n;
static uint64_t result;

static void prepare(void) { n = 42 - (100 - percent) / 6; }
static void fill(void) { result = 0; }

static uint64_t fib(int k) { return k < 2 ? (uint64_t)k : fib(k - 1) + fib(k - 2); }

static void work(void) { result += fib(n); }
static double sum(void) { return (double)result; }
