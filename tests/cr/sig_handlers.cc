// cr: signal handlers, their flags and masks, the masks and alternative stacks of threads
#include "util/step.h"

static constexpr int kRestorer = 0x04000000;  // SA_RESTORER: set by the C library in every action
static volatile int hits[128];
static thread_local char alternative[32 * 1024];
static thread_local volatile bool was_on_alternative;

static void plain_handler(int number) { add(&hits[number]); }
static void info_handler(int number, siginfo_t* info, void*) {
  char here;
  was_on_alternative = &here >= alternative && &here < alternative + sizeof alternative;
  CHECK_EQ(info->si_signo, number);
  add(&hits[number]);
}

struct Wanted {
  int number;
  int flags;
  int masked;
};
static const Wanted kWanted[] = {
    {SIGUSR1, 0, SIGUSR2},
    {SIGUSR2, SA_SIGINFO | SA_ONSTACK, SIGTERM},
    {SIGHUP, SA_RESTART | SA_NODEFER, SIGINT},
    {SIGWINCH, SA_SIGINFO | SA_RESTART | SA_ONSTACK | SA_NODEFER, SIGRTMIN + 3},
};

static void check_action(const Wanted& w) {
  struct sigaction now;
  MUST(sigaction(w.number, nullptr, &now));
  CHECK_EQ(now.sa_flags & ~kRestorer, w.flags);
  CHECK(sigismember(&now.sa_mask, w.masked) == 1 && sigismember(&now.sa_mask, SIGABRT) == 0);
  if (w.flags & SA_SIGINFO)
    CHECK(now.sa_sigaction == info_handler);
  else
    CHECK(now.sa_handler == plain_handler);
}

static volatile int turn, done;

static void* work(void* argument) {
  auto number = static_cast<int>(reinterpret_cast<intptr_t>(argument));
  stack_t stack = {alternative, 0, sizeof alternative}, now;
  MUST(sigaltstack(&stack, nullptr));
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGRTMIN + number);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  for (int i = 1; i <= steps(); i++) {
    wait_until(&turn, i);
    MUST(sigaltstack(nullptr, &now));
    CHECK(now.ss_sp == alternative && now.ss_size == sizeof alternative && now.ss_flags == 0);
    sigset_t found;
    pthread_sigmask(SIG_BLOCK, nullptr, &found);
    for (int s = 1; s < 64; s++)
      if (s != 32 && s != 33) CHECK_EQ(sigismember(&found, s), s == SIGRTMIN + number);
    was_on_alternative = false;
    pthread_kill(pthread_self(), SIGUSR2);
    CHECK(was_on_alternative);
    add(&done);
  }
  return nullptr;
}

int main() {
  for (auto& w : kWanted) {
    struct sigaction action = {};
    action.sa_flags = w.flags;
    if (w.flags & SA_SIGINFO)
      action.sa_sigaction = info_handler;
    else
      action.sa_handler = plain_handler;
    sigaddset(&action.sa_mask, w.masked);
    MUST(sigaction(w.number, &action, nullptr));
  }
  signal(SIGPIPE, SIG_IGN);
  struct sigaction once = {};
  once.sa_handler = plain_handler;
  once.sa_flags = static_cast<int>(SA_RESETHAND);
  MUST(sigaction(SIGTERM, &once, nullptr));
  // The default action with a flag that means something all the same: who ends is waited for by nobody.
  struct sigaction unwatched = {};
  unwatched.sa_handler = SIG_DFL;
  unwatched.sa_flags = SA_NOCLDWAIT;
  MUST(sigaction(SIGCHLD, &unwatched, nullptr));
  pthread_t ids[5];
  for (intptr_t t = 0; t < 5; t++) ids[t] = thread(work, reinterpret_cast<void*>(t));
  ready();
  for (int i = 1; i <= steps(); i++) {
    add(&turn);
    step();
    wait_until(&done, 5 * i);
    for (auto& w : kWanted) check_action(w);
    struct sigaction now;
    MUST(sigaction(SIGPIPE, nullptr, &now));
    CHECK(now.sa_handler == SIG_IGN);
    MUST(sigaction(SIGTERM, nullptr, &now));
    CHECK(now.sa_handler == plain_handler && (now.sa_flags & ~kRestorer) == static_cast<int>(SA_RESETHAND));
    MUST(sigaction(SIGCHLD, nullptr, &now));
    CHECK(now.sa_handler == SIG_DFL && (now.sa_flags & ~kRestorer) == SA_NOCLDWAIT);
    const pid_t child = MUST(fork());
    if (child == 0) _exit(0);
    CHECK(waitpid(child, nullptr, 0) == -1 && errno == ECHILD);
    for (const int untouched : {SIGQUIT, SIGTSTP, SIGRTMAX}) {
      MUST(sigaction(untouched, nullptr, &now));
      CHECK(now.sa_handler == SIG_DFL);
    }
    raise(SIGUSR1);
    raise(SIGHUP);
    note("round %d: %d %d %d", i, hits[SIGUSR1], hits[SIGUSR2], hits[SIGHUP]);
  }
  for (auto id : ids) pthread_join(id, nullptr);
  finish();
}
