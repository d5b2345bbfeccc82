// cr: pending signals with their siginfo, queued for the process and for single threads, in order
#include <sys/mman.h>
#include <sys/syscall.h>

#include "util/step.h"

static volatile int turn, done, take;
static pid_t tids[3];

// What a signal brought: everything but the PID, which is compared here.
static void show(const char* who, const siginfo_t& info, pid_t sender) {
  if (info.si_code == SI_QUEUE || info.si_code == SI_USER || info.si_code == SI_TKILL) {
    CHECK_EQ(info.si_pid, sender);
    CHECK_EQ(info.si_uid, getuid());
  }
  note("%s: signal %d code %d value %d", who, info.si_signo, info.si_code,
       info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
}

static siginfo_t collected[3][8];
static int collected_count[3];

static void* work(void* argument) {
  auto number = reinterpret_cast<intptr_t>(argument);
  tids[number] = gettid();
  add(&done);
  wait_until(&take, 1);
  // Only its own: what is pending for the process is for the main thread.
  sigset_t own;
  sigemptyset(&own);
  sigaddset(&own, SIGRTMIN + 10);
  sigaddset(&own, SIGUSR2);
  timespec none = {0, 0};
  siginfo_t info;
  while (sigtimedwait(&own, &info, &none) > 0) collected[number][collected_count[number]++] = info;
  return nullptr;
}

static void queue_to_thread(pid_t tid, int number, int value) {
  siginfo_t info = {};
  info.si_signo = number;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_int = value;
  CHECK_EQ(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, number, &info), 0);
}

int main() {
  sigset_t blocked;
  sigemptyset(&blocked);
  for (int s : {SIGUSR1, SIGUSR2, SIGCHLD, SIGRTMIN + 9, SIGRTMIN + 10, SIGRTMIN + 11}) sigaddset(&blocked, s);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  pthread_t ids[3];
  for (intptr_t t = 0; t < 3; t++) ids[t] = thread(work, reinterpret_cast<void*>(t));
  wait_until(&done, 3);
  pid_t self = getpid();
  for (int i = 0; i < 5; i++) {
    sigval value;
    value.sival_int = 100 + i;
    MUST(sigqueue(self, SIGRTMIN + 9, value));
    MUST(sigqueue(self, SIGRTMIN + 11, value));
  }
  MUST(kill(self, SIGUSR1));
  pid_t child = spawn([] { return 33; });
  siginfo_t info;
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT),
           0);  // SIGCHLD is pending, the child a zombie
  for (int t = 0; t < 3; t++) {
    for (int i = 0; i <= t; i++) queue_to_thread(tids[t], SIGRTMIN + 10, t * 10 + i);
    CHECK_EQ(syscall(SYS_tgkill, self, tids[t], SIGUSR2), 0);
  }
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    sigset_t pending;
    MUST(sigpending(&pending));
    CHECK(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGRTMIN + 9) && sigismember(&pending, SIGCHLD));
    CHECK(!sigismember(&pending, SIGUSR2) && !sigismember(&pending, SIGRTMIN + 10));
    note("round %d", i);
  }
  add(&take);
  for (auto id : ids) pthread_join(id, nullptr);
  for (int t = 0; t < 3; t++) {
    CHECK_EQ(collected_count[t], t + 2);
    for (int i = 0; i < collected_count[t]; i++) show("thread", collected[t][i], self);
  }
  timespec none = {0, 0};
  sigset_t of_process = blocked;
  while (sigtimedwait(&of_process, &info, &none) > 0) {
    if (info.si_signo == SIGCHLD) {
      CHECK_EQ(info.si_pid, child);
      note("process: SIGCHLD code %d status %d", info.si_code, info.si_status);
    } else {
      show("process", info, self);
    }
  }
  CHECK_EQ(reap(child), 33);
  finish();
}
