// cr: eventfd, signalfd and timerfd: counts, masks, intervals, what nobody read yet, blocked readers
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "util/step.h"

static int doorbell;
static int rung;
static void* listen(void*) {
  uint64_t n;
  while (read(doorbell, &n, sizeof n) == sizeof n && n != 1000) add(&rung, static_cast<int>(n));
  return nullptr;
}
static uint64_t read_count(int fd) {
  uint64_t n = 0;
  ssize_t got = read(fd, &n, sizeof n);
  return got == sizeof n ? n : 0;
}
static void write_count(int fd, uint64_t n) { CHECK(write(fd, &n, sizeof n) == sizeof n); }

int main() {
  int counter = MUST(eventfd(0, EFD_NONBLOCK));
  int semaphore = MUST(eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK));
  int large = MUST(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  doorbell = MUST(eventfd(0, 0));
  write_count(large, 0x123456789abcdef);
  write_count(semaphore, 1000000);

  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigaddset(&mask, SIGRTMIN + 5);
  MUST(sigprocmask(SIG_BLOCK, &mask, nullptr));
  int signals = MUST(signalfd(-1, &mask, SFD_NONBLOCK));

  int expired = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  int far = MUST(timerfd_create(CLOCK_BOOTTIME, 0));
  int tick = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
  int absolute = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
  int wall = MUST(timerfd_create(CLOCK_REALTIME, 0));
  itimerspec soon = {{0, 0}, {0, 1}}, hours = {{3, 0}, {7200, 0}}, fast = {{0, 3000000}, {0, 3000000}};
  MUST(timerfd_settime(expired, 0, &soon, nullptr));
  pollfd p = {expired, POLLIN, 0};
  CHECK_EQ(poll(&p, 1, 60000), 1);
  MUST(timerfd_settime(far, 0, &hours, nullptr));
  const int64_t start = nanoseconds(CLOCK_MONOTONIC);
  MUST(timerfd_settime(tick, 0, &fast, nullptr));
  const int64_t moment = start + 30000000;
  itimerspec at = {{0, 0}, {static_cast<time_t>(moment / 1000000000), static_cast<long>(moment % 1000000000)}};
  MUST(timerfd_settime(absolute, TFD_TIMER_ABSTIME, &at, nullptr));
  at.it_value.tv_sec = time(nullptr) + 100000;
  MUST(timerfd_settime(wall, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &at, nullptr));

  pthread_t listener = thread(listen);
  ready();
  int rings = 0;
  uint64_t ticks = 0;
  int64_t last_left = 7200000000001;
  for (int i = 0; i < steps(); i++) {
    write_count(counter, static_cast<uint64_t>(i) + 1);
    sigval value;
    value.sival_int = i;
    MUST(sigqueue(getpid(), SIGRTMIN + 5, value));
    write_count(doorbell, 2);
    rings += 2;
    step();
    CHECK_EQ(read_count(counter), i + 1);
    CHECK_EQ(read_count(counter), 0);
    CHECK_EQ(read_count(semaphore), 1);
    signalfd_siginfo info;
    CHECK(read(signals, &info, sizeof info) == sizeof info);
    CHECK_EQ(info.ssi_signo, SIGRTMIN + 5);
    CHECK_EQ(info.ssi_int, i);
    CHECK_EQ(read(signals, &info, sizeof info), -1);
    wait_until(&rung, rings);
    ticks += read_count(tick);  // blocks until the next one
    // Never more ticks than time went by.
    CHECK(static_cast<int64_t>(ticks) * 3000000 <= nanoseconds(CLOCK_MONOTONIC) - start);
    itimerspec left;
    MUST(timerfd_gettime(far, &left));
    int64_t now_left = left.it_value.tv_sec * 1000000000LL + left.it_value.tv_nsec;
    CHECK(now_left > 0 && now_left < last_left);
    CHECK_EQ(left.it_interval.tv_sec, 3);
    last_left = now_left;
    note("round %d: %d", i, rings);
  }
  CHECK_EQ(read_count(absolute), 1);
  CHECK(nanoseconds(CLOCK_MONOTONIC) >= moment);
  CHECK_EQ(read_count(expired), 1);
  CHECK_EQ(read_count(expired), 0);
  CHECK_EQ(read_count(large), 0x123456789abcdef);
  CHECK_EQ(fcntl(large, F_GETFD), FD_CLOEXEC);
  itimerspec left;
  MUST(timerfd_gettime(wall, &left));
  CHECK(left.it_value.tv_sec > 90000);
  write_count(doorbell, 1000);
  pthread_join(listener, nullptr);
  finish();
}
