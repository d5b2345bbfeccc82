// cr: names of threads, umask, current directory, personality, dumpable, subreaper, parent-death signal, prctls
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>

#include "util/step.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif
#ifndef PR_GET_TSC
#define PR_GET_TSC 25
#endif

static volatile int turn, done;

static void* named(void*) {
  MUST(prctl(PR_SET_NAME, "a (name) here", 0, 0, 0));
  for (int i = 1; i <= steps(); i++) {
    wait_until(&turn, i);
    char name[17] = {};
    MUST(prctl(PR_GET_NAME, name, 0, 0, 0));
    CHECK(!strcmp(name, "a (name) here"));
    add(&done);
  }
  return nullptr;
}

int main() {
  MUST(mkdir(scratch("here"), 0755));
  char wanted_directory[PATH_MAX], directory[PATH_MAX];
  strcpy(wanted_directory, scratch("here"));
  MUST(chdir(wanted_directory));
  umask(0157);
  MUST(personality(ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT));
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  MUST(prctl(PR_SET_NAME, "main \"thread\"", 0, 0, 0));
  MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  bool speculation = prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE, 0, 0) == 0;
  int speculation_wanted = prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0);
  pthread_t helper = thread(named);
  // A child with a parent-death signal that is not dumpable; it dies when its parent (the middle one) does.
  pid_t middle = spawn([] {
    pid_t child = spawn([] {
      MUST(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
      MUST(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
      for (int i = 0; i < steps() / 2; i++) {
        int signal = 0;
        MUST(prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0));
        CHECK_EQ(signal, SIGKILL);
        CHECK_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
        sleep_ms(4);
      }
      for (;;) pause();
      return 0;
    });
    for (int i = 0; i < steps(); i++) sleep_ms(5);
    CHECK_EQ(kill(child, 0), 0);
    return 0;
  });
  ready();
  for (int i = 1; i <= steps(); i++) {
    add(&turn);
    step();
    wait_until(&done, i);
    CHECK(getcwd(directory, sizeof directory));
    CHECK(!strcmp(directory, wanted_directory));
    mode_t mask = umask(0157);
    CHECK_EQ(mask, 0157);
    CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT);
    int reaper = 0;
    MUST(prctl(PR_GET_CHILD_SUBREAPER, &reaper, 0, 0, 0));
    CHECK_EQ(reaper, 1);
    char name[17] = {};
    MUST(prctl(PR_GET_NAME, name, 0, 0, 0));
    CHECK(!strcmp(name, "main \"thread\""));
    CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
    CHECK_EQ(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
    if (speculation) CHECK_EQ(prctl(PR_GET_SPECULATION_CTRL, PR_SPEC_STORE_BYPASS, 0, 0, 0), speculation_wanted);
    note("round %d", i);
  }
  pthread_join(helper, nullptr);
  CHECK_EQ(reap(middle), 0);
  int status;
  MUST(waitpid(-1, &status, 0));  // the grandchild, killed by its parent's death
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  finish();
}
