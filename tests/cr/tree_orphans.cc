// cr: orphans that were re-parented to the tree's child subreaper, some of them dead
#include <sys/mman.h>
#include <sys/prctl.h>

#include "util/step.h"

struct Shared {
  volatile int turn, ready, done;
  pid_t orphans[5];
};

int main() {
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  auto* shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pid_t reaper = getpid();
  for (int c = 0; c < 5; c++) {
    pid_t middle = spawn([&] {
      pid_t self = getpid();
      shared->orphans[c] = spawn([&] {
        while (getppid() == self) sleep_ms(1);
        CHECK_EQ(getppid(), reaper);
        add(&shared->ready);
        if (c == 4) return 44;  // a zombie for the reaper
        for (int i = 1; i <= steps(); i++) {
          wait_until(&shared->turn, i);
          CHECK_EQ(getppid(), reaper);
          add(&shared->done);
        }
        return 40 + c;
      });
      return 0;
    });
    CHECK_EQ(reap(middle), 0);
  }
  wait_until(&shared->ready, 5);
  siginfo_t info;
  CHECK_EQ(waitid(P_PID, static_cast<id_t>(shared->orphans[4]), &info, WEXITED | WNOWAIT), 0);
  ready();
  for (int i = 0; i < steps(); i++) {
    add(&shared->turn);
    step();
    wait_until(&shared->done, 4 * (i + 1));
    int is_reaper = 0;
    MUST(prctl(PR_GET_CHILD_SUBREAPER, &is_reaper, 0, 0, 0));
    CHECK_EQ(is_reaper, 1);
    note("round %d", i);
  }
  for (int c = 0; c < 5; c++) CHECK_EQ(reap(shared->orphans[c]), 40 + c);
  finish();
}
