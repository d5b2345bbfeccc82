// cr: CLOCK_MONOTONIC and CLOCK_BOOTTIME never go back and make no great jump, through the vDSO and the system call
#include <sched.h>
#include <sys/syscall.h>

#include "util/step.h"

static volatile int stop;

struct Watch {
  clockid_t clock;
  bool vdso;
};

static int64_t now(const Watch& watch) {
  if (watch.vdso) return nanoseconds(watch.clock);
  timespec t;
  CHECK_EQ(syscall(SYS_clock_gettime, watch.clock, &t), 0);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void* watcher(void* argument) {
  auto& watch = *static_cast<Watch*>(argument);
  int64_t last = now(watch);
  while (!get(&stop)) {
    int64_t next = now(watch);
    if (next < last) wrong(__FILE__, __LINE__, "clock %d went back by %lld ns", watch.clock, (long long)(last - next));
    // Hosts were up for different times: a jump of a minute would be another host's clock.
    if (next - last > 60000000000)
      wrong(__FILE__, __LINE__, "clock %d jumped by %lld ns", watch.clock, (long long)(next - last));
    last = next;
    if (!watch.vdso) sched_yield();
  }
  return nullptr;
}

int main() {
  Watch watches[] = {{CLOCK_MONOTONIC, true},
                     {CLOCK_MONOTONIC, false},
                     {CLOCK_BOOTTIME, true},
                     {CLOCK_MONOTONIC_RAW, true},
                     {CLOCK_MONOTONIC_COARSE, true}};
  pthread_t ids[5];
  for (int i = 0; i < 5; i++) ids[i] = thread(watcher, &watches[i]);
  int64_t difference = nanoseconds(CLOCK_BOOTTIME) - nanoseconds(CLOCK_MONOTONIC);
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    int64_t difference_now = nanoseconds(CLOCK_BOOTTIME) - nanoseconds(CLOCK_MONOTONIC);
    CHECK(difference_now - difference > -10000000000 && difference_now - difference < 10000000000);
    note("round %d", i);
  }
  add(&stop);
  for (auto id : ids) pthread_join(id, nullptr);
  finish();
}
