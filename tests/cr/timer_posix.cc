// cr: POSIX timers: ids, clocks, what they notify, remaining time, interval, overruns, and gaps in their numbers
#include <sys/syscall.h>

#include "util/step.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static volatile int fired, to_thread, stop;
static volatile pid_t target;

static void on_signal(int, siginfo_t* info, void*) {
  CHECK_EQ(info->si_code, SI_TIMER);
  if (info->si_value.sival_int == 1) add(&fired);
  if (info->si_value.sival_int == 2) {
    CHECK_EQ(gettid(), target);
    add(&to_thread);
  }
}

// The kernel's ids, not the C library's handles.
static int create(clockid_t clock, sigevent event) {
  int id = -1;
  CHECK_EQ(syscall(SYS_timer_create, clock, &event, &id), 0);
  return id;
}
static void set(int id, long first_ms, long interval_ms) {
  itimerspec spec = {{interval_ms / 1000, interval_ms % 1000 * 1000000}, {first_ms / 1000, first_ms % 1000 * 1000000}};
  CHECK_EQ(syscall(SYS_timer_settime, id, 0, &spec, nullptr), 0);
}
static itimerspec look(int id) {
  itimerspec now;
  CHECK_EQ(syscall(SYS_timer_gettime, id, &now), 0);
  return now;
}

static void* target_thread(void*) {
  sigset_t all;
  sigfillset(&all);
  sigdelset(&all, SIGRTMIN);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  target = gettid();
  while (!get(&stop)) sleep_ms(1);
  return nullptr;
}

int main() {
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGRTMIN, &action, nullptr);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN + 1);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
  pthread_t helper = thread(target_thread);
  while (!target) sleep_ms(1);

  sigevent process = {}, one = {}, none = {}, held = {};
  process.sigev_notify = SIGEV_SIGNAL, process.sigev_signo = SIGRTMIN, process.sigev_value.sival_int = 1;
  one.sigev_notify = SIGEV_THREAD_ID, one.sigev_signo = SIGRTMIN, one.sigev_value.sival_int = 2,
  one.sigev_notify_thread_id = target;
  none.sigev_notify = SIGEV_NONE;
  held.sigev_notify = SIGEV_SIGNAL, held.sigev_signo = SIGRTMIN + 1, held.sigev_value.sival_int = 3;
  int gone = create(CLOCK_MONOTONIC, none);
  int ids[] = {create(CLOCK_MONOTONIC, process), create(CLOCK_REALTIME, one), create(CLOCK_BOOTTIME, none),
               create(CLOCK_MONOTONIC, held), create(CLOCK_MONOTONIC, none)};
  CHECK_EQ(syscall(SYS_timer_delete, gone), 0);  // a gap in the numbers
  set(ids[0], 5, 7);
  set(ids[1], 3, 9);
  set(ids[2], 100000, 50000);  // far away: its remaining time is looked at
  set(ids[3], 4, 2);           // blocked: overruns add up
  // The fifth is never armed.
  int64_t set_at = nanoseconds(CLOCK_BOOTTIME);
  ready();
  for (int i = 0; i < steps(); i++) {
    int before = get(&fired), before_thread = get(&to_thread);
    step();
    wait_until(&fired, before + 1);
    wait_until(&to_thread, before_thread + 1);
    CHECK_EQ(look(ids[0]).it_interval.tv_nsec, 7000000);
    CHECK_EQ(look(ids[1]).it_interval.tv_nsec, 9000000);
    itimerspec far = look(ids[2]);
    CHECK_EQ(far.it_interval.tv_sec, 50);
    int64_t left = far.it_value.tv_sec * 1000000000 + far.it_value.tv_nsec,
            passed = nanoseconds(CLOCK_BOOTTIME) - set_at;
    CHECK(left <= 100000000000 && left + passed >= 100000000000 - 1000000);
    CHECK_EQ(look(ids[4]).it_value.tv_sec + look(ids[4]).it_value.tv_nsec, 0);
    note("round %d", i);
  }
  timespec short_time = {1, 0};
  siginfo_t info;
  CHECK_EQ(sigtimedwait(&blocked, &info, &short_time), SIGRTMIN + 1);
  CHECK_EQ(info.si_code, SI_TIMER);
  CHECK_EQ(info.si_value.sival_int, 3);
  CHECK(info.si_overrun > 0);
  for (int id : ids) CHECK_EQ(syscall(SYS_timer_delete, id), 0);
  CHECK_EQ(syscall(SYS_timer_delete, gone), -1);
  add(&stop);
  pthread_join(helper, nullptr);
  finish();
}
