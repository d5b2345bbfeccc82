// Every: 1000000
// All of it in main, which the start code must not take in: that has no adaptation points.
#include <stdio.h>

int main(void) {
  volatile unsigned x = 1;
  unsigned long rounds = 0;
  while (rounds < 20000000) {
    x = x * 1664525u + 1013904223u;
    if (++rounds % 4000000 == 0) printf("%lu %u\n", rounds, x);
  }
  return 3;
}
