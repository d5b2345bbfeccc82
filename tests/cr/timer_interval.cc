// cr: interval timers, real, virtual and profiling: the rest of the time, the interval, and that they go on
#include <sys/time.h>

#include "util/step.h"

static volatile int alarms, virtuals, profs;

static void on_signal(int number) { add(number == SIGALRM ? &alarms : number == SIGVTALRM ? &virtuals : &profs); }

int main() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (int s : {SIGALRM, SIGVTALRM, SIGPROF}) sigaction(s, &action, nullptr);
  itimerval real = {{0, 11000}, {0, 7000}}, on_cpu = {{0, 9000}, {0, 9000}}, prof = {{0, 13000}, {0, 13000}};
  MUST(setitimer(ITIMER_REAL, &real, nullptr));
  MUST(setitimer(ITIMER_VIRTUAL, &on_cpu, nullptr));
  MUST(setitimer(ITIMER_PROF, &prof, nullptr));
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    itimerval now;
    MUST(getitimer(ITIMER_REAL, &now));
    CHECK_EQ(now.it_interval.tv_usec, 11000);
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_usec <= 11000 + 1000);
    MUST(getitimer(ITIMER_VIRTUAL, &now));
    CHECK(now.it_interval.tv_usec >= 9000 && now.it_interval.tv_usec < 13000);  // rounded up to jiffies
    MUST(getitimer(ITIMER_PROF, &now));
    CHECK(now.it_interval.tv_usec >= 13000 && now.it_interval.tv_usec < 17000);
    // They still fire, each of them.
    for (auto* count : {&alarms, &virtuals, &profs}) {
      int before = get(count);
      while (get(count) == before) {
        for (int n = 0; n < 1000; n++) asm volatile("");
      }
    }
    note("round %d", i);
  }
  finish();
}
