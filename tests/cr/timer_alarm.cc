// cr: alarm(2): fires once, not early, and another that is still far away keeps its time
#include "util/step.h"

static volatile int fired;
static void on_alarm(int) { add(&fired); }

int main() {
  signal(SIGALRM, on_alarm);
  int64_t start = nanoseconds(CLOCK_MONOTONIC);
  alarm(1);
  pid_t child = spawn([] {
    // Its own, far away: what is left goes down and never up.
    alarm(1000);
    unsigned last = 1000;
    for (int i = 0; i < 20; i++) {
      sleep_ms(20);
      unsigned left = alarm(0);
      CHECK(left <= last && left > 900);
      last = left;
      alarm(left);
    }
    return 0;
  });
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    note("round %d", i);
  }
  wait_until(&fired, 1);
  CHECK(nanoseconds(CLOCK_MONOTONIC) - start >= 1000000000);
  CHECK_EQ(reap(child), 0);
  CHECK_EQ(alarm(0), 0);
  CHECK_EQ(fired, 1);
  finish();
}
