// cr: FS and GS bases of every thread
#include <asm/prctl.h>
#include <sys/syscall.h>

#include "util/step.h"

static thread_local int own = 5;
static volatile int turn, done;

static uint64_t through_gs() {
  uint64_t value;
  asm volatile("mov %%gs:8, %0" : "=r"(value));
  return value;
}

static void* work(void* argument) {
  auto number = reinterpret_cast<uint64_t>(argument);
  uint64_t block[4] = {1, number * 1000, 3, 4}, base = 0, fs_base = 0, fs_now = 0;
  CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, block), 0);
  CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_base), 0);
  for (int i = 1; i <= steps(); i++) {
    wait_until(&turn, i);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &base), 0);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_now), 0);
    CHECK(base == reinterpret_cast<uint64_t>(block) && fs_now == fs_base);
    CHECK_EQ(through_gs(), number * 1000 + static_cast<uint64_t>(i) - 1);
    block[1]++;
    own++;
    add(&done);
  }
  CHECK_EQ(own, 5 + steps());
  return nullptr;
}

int main() {
  pthread_t ids[4];
  for (uint64_t t = 0; t < 4; t++) ids[t] = thread(work, reinterpret_cast<void*>(t + 1));
  ready();
  for (int i = 1; i <= steps(); i++) {
    add(&turn);
    step();
    wait_until(&done, 4 * i);
    note("round %d", i);
  }
  for (auto id : ids) pthread_join(id, nullptr);
  finish();
}
