// cr: threads in poll, ppoll, select, pselect and epoll_wait, with and without time-outs
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "util/step.h"

static int never[2];  // a pipe in which nothing arrives until the end
static int epoll;
static volatile int stop, waiting;

static void endless_result(const char* what, int result) {
  if (result != 1) wrong(__FILE__, __LINE__, "%s without time-out gave %d", what, result);
}

static void* poll_endless(void*) {
  pollfd p = {never[0], POLLIN, 0};
  endless_result("poll", poll(&p, 1, -1));
  CHECK_EQ(p.revents, POLLIN);
  return nullptr;
}
static void* ppoll_endless(void*) {
  sigset_t none;
  sigemptyset(&none);
  pollfd p = {never[0], POLLIN, 0};
  endless_result("ppoll", ppoll(&p, 1, nullptr, &none));
  return nullptr;
}
static void* select_endless(void*) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(never[0], &set);
  endless_result("select", select(never[0] + 1, &set, nullptr, nullptr, nullptr));
  return nullptr;
}
static void* epoll_endless(void*) {
  epoll_event event;
  endless_result("epoll_wait", epoll_wait(epoll, &event, 1, -1));
  CHECK_EQ(event.data.u64, 0x1122334455667788);
  return nullptr;
}

// Time-outs, again and again: 0 is the only right answer, not before the time.
template <typename F>
static void timed(const char* what, int64_t length, F call) {
  while (!get(&stop)) {
    int64_t start = nanoseconds(CLOCK_MONOTONIC);
    int result = call();
    int64_t passed = nanoseconds(CLOCK_MONOTONIC) - start;
    if (get(&stop)) break;
    if (result != 0) wrong(__FILE__, __LINE__, "%s with a time-out gave %d", what, result);
    if (passed < length)
      wrong(__FILE__, __LINE__, "%s came back after %lld ns of %lld", what, (long long)passed, (long long)length);
  }
}
static void* poll_timed(void*) {
  timed("poll", 70000000, [] {
    pollfd p = {never[0], POLLIN, 0};
    return poll(&p, 1, 70);
  });
  return nullptr;
}
static void* ppoll_timed(void*) {
  timed("ppoll", 80000000, [] {
    pollfd p = {never[0], POLLIN, 0};
    timespec t = {0, 80000000};
    return ppoll(&p, 1, &t, nullptr);
  });
  return nullptr;
}
static void* select_timed(void*) {
  timed("select", 90000000, [] {
    timeval t = {0, 90000};
    return select(0, nullptr, nullptr, nullptr, &t);
  });
  return nullptr;
}
static void* pselect_timed(void*) {
  timed("pselect", 60000000, [] {
    timespec t = {0, 60000000};
    sigset_t none;
    sigemptyset(&none);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(never[0], &set);
    return pselect(never[0] + 1, &set, nullptr, nullptr, &t, &none);
  });
  return nullptr;
}
static void* epoll_timed(void*) {
  timed("epoll_wait", 100000000, [] {
    epoll_event event;
    return epoll_wait(epoll, &event, 1, 100);
  });
  return nullptr;
}

int main() {
  MUST(pipe(never));
  epoll = MUST(epoll_create1(0));
  epoll_event event = {EPOLLIN, {}};
  event.data.u64 = 0x1122334455667788;
  MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, never[0], &event));
  void* (*all[])(void*) = {poll_endless, ppoll_endless, select_endless, epoll_endless, poll_timed,
                           ppoll_timed,  select_timed,  pselect_timed,  epoll_timed};
  pthread_t ids[9];
  for (int i = 0; i < 9; i++) ids[i] = thread(all[i]);
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    note("round %d", i);
  }
  add(&stop);
  CHECK(write(never[1], "x", 1) == 1);
  for (auto id : ids) pthread_join(id, nullptr);
  finish();
}
