// Adaptation points where a test wants some: a loop that calls what the compiler can't see.
#pragma once

static int same(int x) { return x; }
static int (*volatile opaque)(int) = same;
static __attribute__((noinline)) int linger(volatile int rounds) {
  int sum = 0;
  for (int i = 0; i < rounds; i++) sum += opaque(i);
  return sum;
}
