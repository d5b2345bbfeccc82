// cr: a hundred children at work, with memory and PIDs of their own
#include <sys/mman.h>

#include "util/step.h"

static constexpr int kChildren = 100;

struct Shared {
  volatile int turn;
  volatile int done;
  uint32_t sums[kChildren];
};

int main() {
  auto* shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  CHECK(shared != MAP_FAILED);
  pid_t children[kChildren];
  pid_t parent = getpid();
  for (int c = 0; c < kChildren; c++) {
    children[c] = spawn([&] {
      pid_t self = getpid();
      uint32_t own = static_cast<uint32_t>(c);
      for (int i = 1; i <= steps(); i++) {
        wait_until(&shared->turn, i);
        CHECK_EQ(getpid(), self);
        CHECK_EQ(getppid(), parent);
        own = own * 1664525u + 1013904223u;
        shared->sums[c] = own;
        add(&shared->done);
      }
      return c % 128;
    });
  }
  ready();
  for (int i = 0; i < steps(); i++) {
    add(&shared->turn);
    step();
    wait_until(&shared->done, (i + 1) * kChildren);
    mix(shared->sums, sizeof shared->sums);
    note("round %d: %08x", i, shared->sums[i % kChildren]);
  }
  for (int c = 0; c < kChildren; c++) CHECK_EQ(reap(children[c]), c % 128);
  finish();
}
