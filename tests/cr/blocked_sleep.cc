// cr: threads asleep in nanosleep and clock_nanosleep, relative and absolute, on three clocks
#include <iterator>

#include "util/step.h"

static volatile int done;

struct Case {
  const char* name;
  clockid_t clock;
  int flags;
  int ms;
  bool plain;  // nanosleep(2)
};
static const Case kCases[] = {
    {"nanosleep", CLOCK_MONOTONIC, 0, 250, true},
    {"relative on CLOCK_MONOTONIC", CLOCK_MONOTONIC, 0, 300, false},
    {"relative on CLOCK_REALTIME", CLOCK_REALTIME, 0, 270, false},
    {"relative on CLOCK_BOOTTIME", CLOCK_BOOTTIME, 0, 230, false},
    {"absolute on CLOCK_MONOTONIC", CLOCK_MONOTONIC, TIMER_ABSTIME, 310, false},
    {"absolute on CLOCK_REALTIME", CLOCK_REALTIME, TIMER_ABSTIME, 290, false},
    {"absolute on CLOCK_BOOTTIME", CLOCK_BOOTTIME, TIMER_ABSTIME, 260, false},
};
static constexpr int kTurns = 3;

static void* sleeper(void* argument) {
  auto& c = *static_cast<const Case*>(argument);
  for (int i = 0; i < kTurns; i++) {
    int64_t start = nanoseconds(c.clock), length = c.ms * 1000000LL;
    timespec wanted = {0, static_cast<long>(length)};
    if (c.flags) wanted = {(start + length) / 1000000000, (start + length) % 1000000000};
    timespec left = {77, 77};
    // Nobody sends a signal: to be cut short would be the engine's doing.
    int result = c.plain ? nanosleep(&wanted, &left) : clock_nanosleep(c.clock, c.flags, &wanted, &left);
    if (result) wrong(__FILE__, __LINE__, "%s: gave %d", c.name, result);
    int64_t passed = nanoseconds(c.clock) - start;
    if (passed < length)
      wrong(__FILE__, __LINE__, "%s: woke after %lld ns of %lld", c.name, (long long)passed, (long long)length);
  }
  return nullptr;
}

// Short sleeps without end: a checkpoint is likely to fall on the way in or out of the call.
static void* short_sleeper(void*) {
  while (!get(&done)) {
    timespec wanted = {0, 100000};
    CHECK_EQ(nanosleep(&wanted, nullptr), 0);
    CHECK_EQ(usleep(50), 0);
  }
  return nullptr;
}

int main() {
  pthread_t ids[std::size(kCases)];
  for (size_t i = 0; i < std::size(kCases); i++) ids[i] = thread(sleeper, const_cast<Case*>(&kCases[i]));
  pthread_t nervous = thread(short_sleeper);
  ready();
  for (int i = 0; i < steps(); i++) {
    note("round %d", i);
    step();
  }
  for (size_t i = 0; i < std::size(kCases); i++) {
    pthread_join(ids[i], nullptr);
    note("%s: slept", kCases[i].name);
  }
  add(&done);
  pthread_join(nervous, nullptr);
  finish();
}
