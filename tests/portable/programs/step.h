// A call that holds adaptation points: its loop's number of rounds is unknown to a compiler.
#pragma once
static volatile int step_start = 6;
__attribute__((noinline, unused)) static int step(void) {
  int rounds = 0;
  for (unsigned n = (unsigned)step_start; n != 1; n = n & 1 ? 3 * n + 1 : n / 2) rounds++;
  return rounds;  // 8
}
