// cr: resource limits, nice, scheduling policy, affinity, I/O priority, timer slack and OOM score, per process and thread
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "util/step.h"

static volatile int turn, done;

static int ioprio_get() { return static_cast<int>(syscall(SYS_ioprio_get, 1, 0)); }

static void* work(void*) {
  CHECK_EQ(setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 7), 0);
  sched_param none = {};
  CHECK_EQ(pthread_setschedparam(pthread_self(), SCHED_BATCH, &none), 0);
  MUST(prctl(PR_SET_TIMERSLACK, 123456, 0, 0, 0));
  CHECK_EQ(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6), 0);
  for (int i = 1; i <= steps(); i++) {
    wait_until(&turn, i);
    CHECK_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())), 7);
    CHECK_EQ(sched_getscheduler(gettid()), SCHED_BATCH);
    CHECK_EQ(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), 123456);
    CHECK_EQ(ioprio_get(), 2 << 13 | 6);
    add(&done);
  }
  return nullptr;
}

static int number_in(const char* path) {
  char text[32] = {};
  int fd = MUST(open(path, O_RDONLY | O_CLOEXEC));
  CHECK(read(fd, text, sizeof text - 1) > 0);
  close(fd);
  return atoi(text);
}

int main() {
  struct {
    int resource;
    rlimit limit;
  } limits[] = {{RLIMIT_CORE, {0, 4096}},
                {RLIMIT_NOFILE, {77, 177}},
                {RLIMIT_STACK, {2 << 20, 16 << 20}},
                {RLIMIT_FSIZE, {1 << 24, 1 << 28}},
                {RLIMIT_NICE, {0, 0}},
                {RLIMIT_MEMLOCK, {4096, 8192}},
                {RLIMIT_DATA, {1ul << 33, RLIM_INFINITY}}};
  for (auto& l : limits)
    if (setrlimit(static_cast<__rlimit_resource>(l.resource), &l.limit))
      CHECK(!getrlimit(static_cast<__rlimit_resource>(l.resource), &l.limit));
  pthread_t helper = thread(work);
  cpu_set_t cpus, now;
  CHECK(!sched_getaffinity(0, sizeof cpus, &cpus));
  int fd = MUST(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  CHECK(write(fd, "321", 3) == 3);
  close(fd);
  pid_t idle = spawn([] {
    sched_param none = {};
    MUST(sched_setscheduler(0, SCHED_IDLE, &none));
    MUST(setpriority(PRIO_PROCESS, 0, 12));
    for (int i = 0; i < steps(); i++) {
      CHECK_EQ(sched_getscheduler(0), SCHED_IDLE);
      CHECK_EQ(getpriority(PRIO_PROCESS, 0), 12);
      CHECK_EQ(number_in("/proc/self/oom_score_adj"), 321);
      sleep_ms(2);
    }
    return 0;
  });
  ready();
  for (int i = 1; i <= steps(); i++) {
    add(&turn);
    step();
    wait_until(&done, i);
    for (auto& l : limits) {
      rlimit found;
      CHECK(!getrlimit(static_cast<__rlimit_resource>(l.resource), &found));
      if (found.rlim_cur != l.limit.rlim_cur || found.rlim_max != l.limit.rlim_max)
        wrong(__FILE__, __LINE__, "limit %d is %ld/%ld, was %ld/%ld", l.resource, (long)found.rlim_cur,
              (long)found.rlim_max, (long)l.limit.rlim_cur, (long)l.limit.rlim_max);
    }
    CHECK(!sched_getaffinity(0, sizeof now, &now));
    CHECK(CPU_EQUAL(&cpus, &now));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK_EQ(number_in("/proc/self/oom_score_adj"), 321);
    note("round %d", i);
  }
  pthread_join(helper, nullptr);
  CHECK_EQ(reap(idle), 0);
  finish();
}
