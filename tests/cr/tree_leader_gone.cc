// cr: a process whose first thread has exited while others go on
// refused: leave restore restore2 restore3 move move3: dead-leader
#include "util/step.h"

static pid_t leader;

static void* rest(void*) {
  wait_for_state(leader, leader, 'Z');
  ready();
  for (int i = 0; i < steps(); i++) {
    CHECK_EQ(getpid(), leader);
    CHECK(gettid() != leader);
    wait_for_state(leader, leader, 'Z');
    note("round %d", i);
    step();
  }
  finish();
}

int main() {
  leader = getpid();
  thread(rest);
  pthread_exit(nullptr);
}
