// cr: the break: a heap that grows and shrinks across checkpoints
#include "util/step.h"

int main() {
  auto* start = static_cast<char*>(sbrk(0));
  ready();
  long size = 0;
  for (int i = 0; i < steps(); i++) {
    long change = i % 4 == 3 ? -60000 : 40000;
    auto* before = static_cast<char*>(sbrk(change));
    CHECK(before == start + size);
    if (change > 0) memset(before, i, static_cast<size_t>(change));
    size += change;
    step();
    CHECK(sbrk(0) == start + size);
    mix(start, static_cast<size_t>(size));
    note("round %d: %ld bytes", i, size);
  }
  finish();
}
