// What a move doesn't keep. Run, the program sets it, is moved, and prints what is as it was.
#define _GNU_SOURCE
#include <godwit.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_CORE, &limit);
  rlim_t wanted = limit.rlim_cur = limit.rlim_max > 12345 ? 12345 : 0;
  setpriority(PRIO_PROCESS, 0, 7);          // expect: warning not-kept
  setrlimit(RLIMIT_CORE, &limit);           // expect: warning not-kept
  prctl(PR_SET_DUMPABLE, 0);                // expect: warning not-kept
  umask(012);
  for (int i = 0; i < 100; i++) godwit_adaptation_point();
  getrlimit(RLIMIT_CORE, &limit);
  printf("%s%s%s%s\n", getpriority(PRIO_PROCESS, 0) == 7 ? "priority " : "", limit.rlim_cur == wanted ? "limit " : "",
         prctl(PR_GET_DUMPABLE) == 0 ? "dumpable " : "", umask(0) == 012 ? "umask" : "");
  return 0;
}
