// cr: real-time scheduling with its priority, and the reset-on-fork flag
// needs: root
#include <sched.h>

#include "util/step.h"

static int hold(int policy, int priority) {
  sched_param wanted = {priority}, now = {};
  if (sched_setscheduler(0, policy, &wanted)) return 77;
  for (int i = 0; i < steps(); i++) {
    CHECK_EQ(sched_getscheduler(0), policy);
    MUST(sched_getparam(0, &now));
    CHECK_EQ(now.sched_priority, priority);
    sleep_ms(3);
  }
  return 0;
}

int main() {
  sched_param one = {1}, zero = {0};
  if (sched_setscheduler(0, SCHED_FIFO, &one)) skip("needs real-time scheduling");
  MUST(sched_setscheduler(0, SCHED_OTHER, &zero));
  pid_t children[] = {spawn([] { return hold(SCHED_FIFO, 10); }),
                      spawn([] { return hold(SCHED_RR | SCHED_RESET_ON_FORK, 20); })};
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    note("round %d", i);
  }
  for (pid_t child : children) CHECK_EQ(reap(child), 0);
  finish();
}
