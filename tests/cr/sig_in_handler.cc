// cr: a checkpoint while a thread is inside nested signal handlers, on the alternative stack
#include "util/step.h"

static char alternative[64 * 1024];
static int depth;

static void inner(int) {
  depth++;
  step();
  depth--;
}

static void outer(int, siginfo_t* info, void* context) {
  char here;
  CHECK(&here >= alternative && &here < alternative + sizeof alternative);
  CHECK(context);
  volatile double kept = 3.25 * info->si_value.sival_int;
  depth++;
  step();
  raise(SIGUSR2);
  CHECK_EQ(depth, 1);
  CHECK(kept == 3.25 * info->si_value.sival_int);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  CHECK(sigismember(&mask, SIGRTMIN) && sigismember(&mask, SIGHUP));
  depth--;
}

int main() {
  stack_t stack = {alternative, 0, sizeof alternative};
  MUST(sigaltstack(&stack, nullptr));
  struct sigaction action = {};
  action.sa_sigaction = outer;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaddset(&action.sa_mask, SIGHUP);
  MUST(sigaction(SIGRTMIN, &action, nullptr));
  signal(SIGUSR2, inner);
  ready();
  for (int i = 0; i < steps(); i++) {
    sigval value;
    value.sival_int = i;
    volatile double before = i * 1.5;  // in a register across the signal
    MUST(sigqueue(getpid(), SIGRTMIN, value));
    CHECK(before == i * 1.5);
    CHECK_EQ(depth, 0);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, nullptr, &mask);
    CHECK(!sigismember(&mask, SIGRTMIN) && !sigismember(&mask, SIGHUP));
    note("round %d", i);
  }
  finish();
}
