// Points that the program sets itself, in code that has no others: a long straight line, and a function that is left as it is.
#include <stdio.h>
#ifdef __godwit__
#include <godwit.h>
#else
#include "../../../src/portable/libc/godwit.h"
#endif

// Left as it is: a loop without points, and nothing of it is ever saved.
GODWIT_ALLOW static unsigned mix(unsigned x) {
  for (int i = 0; i < 1000; i++) {
    x = x * 1664525u + 1013904223u;
    __asm__ volatile("" : "+r"(x));
  }
  return x;
}

__attribute__((noinline)) static unsigned line(unsigned a, unsigned b) {
  unsigned c = a * 31 + b;
  godwit_adaptation_point();
  unsigned d = mix(c) ^ a;
  godwit_adaptation_point();
  unsigned e = d * c + b;
  godwit_adaptation_point();
  return a + b * 3 + c * 5 + d * 7 + e;
}

int main(void) {
  unsigned h = 1;
  for (unsigned i = 0; i < 40; i++) h = line(h, i);
  printf("%u\n", h);
  return 0;
}
