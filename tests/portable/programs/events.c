// eventfds and timerfds, their flags, what wasn't read of them yet, threads that wait for them, and epolls that watch them.
// Flags: -pthread
// Not on: s390x
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "step.h"

static void must(int ok, const char* what) {
  if (ok) return;
  printf("%s: %s\n", what, strerror(errno));
  exit(3);
}

static int64_t now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static uint64_t take(int fd) {
  uint64_t value = 0;
  const ssize_t got = read(fd, &value, sizeof value);
  return got == sizeof value ? value : UINT64_MAX;
}

static void add(int fd, uint64_t value) { must(write(fd, &value, sizeof value) == sizeof value, "write"); }

static void counts(void) {
  const int plain = eventfd(3, EFD_NONBLOCK), semaphore = eventfd(5, EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK);
  const int copy = dup(semaphore), full = eventfd(0, EFD_NONBLOCK), empty = eventfd(0, EFD_NONBLOCK);
  must(plain >= 0 && semaphore >= 0 && copy >= 0 && full >= 0 && empty >= 0, "eventfd");
  add(full, UINT64_MAX - 1);
  for (int i = 0; i < 3; i++) {
    step();
    printf("semaphore %" PRIu64, take(i % 2 ? copy : semaphore));
    add(copy, 2);
    add(plain, UINT64_C(0x100000001));
  }
  step();
  printf(" plain %" PRIx64, take(plain));
  step();
  printf(" then %" PRId64 ", full %" PRIx64 ", empty %" PRId64 "\n", (int64_t)take(plain), take(full),
         (int64_t)take(empty));
  uint64_t left = 0;
  while (take(semaphore) == 1) left++;
  printf("%" PRIu64 " left, flags %x %d %d\n", left, fcntl(copy, F_GETFL), fcntl(semaphore, F_GETFD),
         fcntl(copy, F_GETFD));
  close(plain), close(semaphore), close(copy), close(full), close(empty);
}

static int wakes, woken;

static void* sleeper(void* unused) {
  for (int i = 1; i <= 20; i++) {
    must(take(wakes) == (uint64_t)i, "wakes");
    step();
    add(woken, 1);
  }
  return unused;
}

static void threads(void) {
  pthread_t thread;
  wakes = eventfd(0, 0);
  woken = eventfd(0, EFD_SEMAPHORE);
  must(pthread_create(&thread, NULL, sleeper, NULL) == 0, "thread");
  for (int i = 1; i <= 20; i++) {
    step();
    add(wakes, (uint64_t)i);
    must(take(woken) == 1, "woken");
  }
  pthread_join(thread, NULL);
  printf("twenty times\n");
  close(wakes), close(woken);
}

static int timer_of(clockid_t clock, int flags, int64_t first, int64_t interval) {
  const int fd = timerfd_create(clock, TFD_NONBLOCK);
  const struct itimerspec when = {{interval / 1000000000, interval % 1000000000},
                                  {first / 1000000000, first % 1000000000}};
  must(fd >= 0 && timerfd_settime(fd, flags, &when, NULL) == 0, "timerfd");
  return fd;
}

static int64_t left_of(int fd, int64_t* interval) {
  struct itimerspec when;
  must(timerfd_gettime(fd, &when) == 0, "timerfd_gettime");
  if (interval) *interval = when.it_interval.tv_sec * INT64_C(1000000000) + when.it_interval.tv_nsec;
  return when.it_value.tv_sec * INT64_C(1000000000) + when.it_value.tv_nsec;
}

static void wait_for(int fd) {
  struct pollfd look = {fd, POLLIN, 0};
  must(poll(&look, 1, 20000) == 1, "poll");
}

#define MS INT64_C(1000000)

// By the clock of each, never early, and not much late: a machine may be busy, so the limits are wide.
static void timers(void) {
  const int64_t begun = now(CLOCK_MONOTONIC), day = now(CLOCK_REALTIME);
  const int relative = timer_of(CLOCK_MONOTONIC, 0, 60 * MS, 0),
            far = timer_of(CLOCK_BOOTTIME, 0, 5000 * 1000 * MS, 7 * MS);
  const int absolute = timer_of(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, begun + 90 * MS, 0);
  const int of_day = timer_of(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, day + 120 * MS, 0);
  const int off = timer_of(CLOCK_MONOTONIC, 0, 0, 0), over = timer_of(CLOCK_MONOTONIC, 0, 1, 0);
  const int again = timer_of(CLOCK_MONOTONIC, 0, 20 * MS, 20 * MS);
  wait_for(over);
  step();
  printf("over %d, off %d\n", left_of(over, NULL) == 0, left_of(off, NULL) == 0);
  wait_for(relative);
  printf("relative %d\n", now(CLOCK_MONOTONIC) - begun >= 60 * MS);
  step();
  wait_for(absolute);
  printf("absolute %d\n", now(CLOCK_MONOTONIC) - begun >= 90 * MS);
  step();
  wait_for(of_day);
  printf("of the day %d\n", now(CLOCK_REALTIME) - day >= 120 * MS);
  step();
  printf("expired %d %d %d %d %d\n", (int)take(relative), (int)take(absolute), (int)take(of_day), (int)take(over),
         (int)take(off));
  printf("again %d\n", (int)take(relative));
  int64_t interval = 0;
  const int64_t left = left_of(far, &interval);
  printf("far %d, interval %d\n", left > 4000 * 1000 * MS && left <= 5000 * 1000 * MS, (int)(interval / MS));
  // Each of its expirations is one: neither lost nor counted twice.
  uint64_t count = 0;
  for (int i = 0; i < 10; i++) {
    wait_for(again);
    step();
    const uint64_t more = take(again);
    must(more != UINT64_MAX, "expirations");
    count += more;
    const int64_t lived = now(CLOCK_MONOTONIC) - begun, next = left_of(again, NULL);
    const int64_t expected = (lived + next) / (20 * MS) - 1;
    if (next > 20 * MS || (int64_t)count > lived / (20 * MS) || (int64_t)count < expected - 2)
      printf("%d after %d us, %d us left\n", (int)count, (int)(lived / 1000), (int)(next / 1000));
  }
  close(relative), close(far), close(absolute), close(of_day), close(off), close(over), close(again);
}

static void watched(void) {
  const int set = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, EFD_NONBLOCK),
            timer = timer_of(CLOCK_MONOTONIC, 0, 30 * MS, 0);
  int ends[2];
  must(set >= 0 && pipe(ends) == 0, "epoll");
  struct epoll_event wanted = {EPOLLIN, {.u64 = 1}};
  must(epoll_ctl(set, EPOLL_CTL_ADD, event, &wanted) == 0, "epoll_ctl");
  wanted = (struct epoll_event){EPOLLIN | EPOLLET, {.u64 = 2}};
  must(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &wanted) == 0, "epoll_ctl");
  wanted = (struct epoll_event){EPOLLIN | EPOLLONESHOT, {.u64 = 3}};
  must(epoll_ctl(set, EPOLL_CTL_ADD, timer, &wanted) == 0, "epoll_ctl");
  step();
  add(event, 4);
  step();
  must(write(ends[1], "x", 1) == 1, "write");
  unsigned seen = 0;
  while (seen != 14) {
    struct epoll_event found;
    must(epoll_wait(set, &found, 1, 20000) == 1, "epoll_wait");
    seen |= 1u << found.data.u64;
    if (found.data.u64 == 1) take(event);
    step();
  }
  printf("all three were seen\n");
  close(set), close(event), close(timer), close(ends[0]), close(ends[1]);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  counts();
  threads();
  timers();
  watched();
  return 0;
}
