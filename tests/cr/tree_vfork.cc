// cr: a vfork'ed child that shares its parent's memory while the parent stands in vfork
#include <sys/mman.h>

#include "util/step.h"

static volatile int written_by_child;
static int* log_of_child;

int main() {
  log_of_child = static_cast<int*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pid_t self = getpid();
  ready();
  for (int i = 0; i < steps(); i++) {
    written_by_child = -1;
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
      // The same memory: the parent sees what is written here, and stands still until the exit.
      for (int t = 0; t < 5; t++) {
        written_by_child = i * 10 + t;
        timespec short_time = {0, 2000000};
        nanosleep(&short_time, nullptr);
      }
      if (getppid() != self) _exit(1);
      _exit(17);
    }
    CHECK_EQ(written_by_child, i * 10 + 4);
    CHECK_EQ(reap(child), 17);
    note("round %d: %d", i, written_by_child);
    step();
  }
  finish();
}
