// cr: descriptors with ever higher numbers, opened while the others are at work; what a program opens beside its being moved
#include <sys/resource.h>

#include "util/step.h"

static volatile int opened;  // how many of kNumbers are open
static constexpr int kNumbers[] = {20, 100, 255, 256, 300, 511, 1023, 1024, 5000, 20000, 40000, 65000};
static constexpr int kCount = sizeof kNumbers / sizeof kNumbers[0];

static int highest_allowed() {
  rlimit limit;
  MUST(getrlimit(RLIMIT_NOFILE, &limit));
  return static_cast<int>(limit.rlim_cur);
}

static void open_next(int pipe_end) {
  if (opened == kCount || kNumbers[opened] >= highest_allowed()) return;
  MUST(dup2(pipe_end, kNumbers[opened]));
  add(&opened);
}

static void* keep_opening(void* argument) {
  const int pipe_end = *static_cast<int*>(argument);
  for (;;) {
    open_next(pipe_end);
    usleep(20'000);
  }
  return nullptr;
}

int main() {
  rlimit limit;
  MUST(getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = limit.rlim_max;
  MUST(setrlimit(RLIMIT_NOFILE, &limit));
  int ends[2];
  MUST(pipe(ends));
  thread(keep_opening, &ends[1]);
  ready();
  for (int i = 1; i <= steps(); i++) {
    step();
    const int now = opened;
    for (int k = 0; k < now; k++) {
      char c = static_cast<char>(k), back = 0;
      CHECK(write(kNumbers[k], &c, 1) == 1);
      CHECK(read(ends[0], &back, 1) == 1);
      CHECK_EQ(back, c);
      CHECK_EQ(fcntl(kNumbers[k], F_GETFD), 0);
    }
    CHECK_EQ(fcntl(19, F_GETFD), -1);
    CHECK_EQ(fcntl(254, F_GETFD), -1);
    CHECK_EQ(fcntl(65535, F_GETFD), -1);
    note("round %d", i);
  }
  finish();
}
