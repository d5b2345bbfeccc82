// cr: threads in waitpid, waitid, pause, sigtimedwait, sigwaitinfo and sigsuspend
#include <sys/mman.h>

#include "util/step.h"

static volatile int* die;  // shared with the children
static volatile int stop, paused, suspended;
static volatile pid_t pauser, suspender;

static pid_t child_that_waits(int status) {
  return spawn([=] {
    wait_until(die, 1);
    return status;
  });
}

static void* in_waitpid(void* argument) {
  int status;
  auto pid = static_cast<pid_t>(reinterpret_cast<intptr_t>(argument));
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(WEXITSTATUS(status), 11);
  return nullptr;
}
static void* in_waitid(void* argument) {
  siginfo_t info = {};
  auto pid = static_cast<pid_t>(reinterpret_cast<intptr_t>(argument));
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED), 0);
  CHECK_EQ(info.si_pid, pid);
  CHECK_EQ(info.si_status, 12);
  return nullptr;
}

static void on_signal(int number) { add(number == SIGUSR1 ? &paused : &suspended); }

static void* in_pause(void*) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGUSR1);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  pauser = gettid();
  CHECK(pause() == -1);
  CHECK_EQ(errno, EINTR);
  CHECK_EQ(get(&paused), 1);  // it ended because the handler ran, and for nothing else
  return nullptr;
}
static void* in_sigsuspend(void*) {
  sigset_t mask;
  sigfillset(&mask);
  sigdelset(&mask, SIGUSR2);
  suspender = gettid();
  CHECK(sigsuspend(&mask) == -1);
  CHECK_EQ(errno, EINTR);
  CHECK_EQ(get(&suspended), 1);
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, nullptr, &now);
  CHECK(sigismember(&now, SIGUSR2));
  return nullptr;
}
static void* in_sigwaitinfo(void*) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 1);
  siginfo_t info;
  CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
  CHECK_EQ(info.si_value.sival_int, 4711);
  return nullptr;
}
static void* in_sigtimedwait(void*) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 2);
  while (!get(&stop)) {
    timespec length = {0, 70000000};
    int64_t start = nanoseconds(CLOCK_MONOTONIC);
    CHECK(sigtimedwait(&set, nullptr, &length) == -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK(nanoseconds(CLOCK_MONOTONIC) - start >= 70000000);
  }
  return nullptr;
}

int main() {
  die = static_cast<volatile int*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  sigset_t all;
  sigemptyset(&all);
  for (int s : {SIGUSR1, SIGUSR2, SIGRTMIN + 1, SIGRTMIN + 2}) sigaddset(&all, s);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, nullptr);
  sigaction(SIGUSR2, &action, nullptr);
  pthread_t ids[] = {thread(in_waitpid, reinterpret_cast<void*>(static_cast<intptr_t>(child_that_waits(11)))),
                     thread(in_waitid, reinterpret_cast<void*>(static_cast<intptr_t>(child_that_waits(12)))),
                     thread(in_sigwaitinfo),
                     thread(in_sigtimedwait),
                     thread(in_pause),
                     thread(in_sigsuspend)};
  for (volatile pid_t* tid : {&pauser, &suspender}) {
    while (!*tid) sleep_ms(1);
    wait_for_state(getpid(), *tid, 'S');
  }
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    CHECK_EQ(get(&paused) + get(&suspended), 0);
    note("round %d", i);
  }
  add(die);
  add(&stop);
  CHECK(!pthread_kill(ids[4], SIGUSR1));
  CHECK(!pthread_kill(ids[5], SIGUSR2));
  sigval value;
  value.sival_int = 4711;
  MUST(sigqueue(getpid(), SIGRTMIN + 1, value));
  for (auto id : ids) pthread_join(id, nullptr);
  finish();
}
