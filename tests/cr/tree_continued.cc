// cr: children that were stopped and continued, and whose parent has not heard of it yet; a stopped parent of a stopped child
//
// The kernel keeps that for waitpid(2) with WCONTINUED and shows it nowhere else.
#include <sys/mman.h>

#include "util/step.h"

int main() {
  auto* beats =
      static_cast<volatile int*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const auto beating = [&](int slot) {
    return spawn([&] {
      for (;;) add(&beats[slot]), sleep_ms(1);
      return 0;
    });
  };
  const auto stop_and_continue = [&](pid_t pid, int slot) {
    kill(pid, SIGSTOP);
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    kill(pid, SIGCONT);
    wait_until(&beats[slot], get(&beats[slot]) + 2);
  };
  const pid_t unheard = beating(0), heard = beating(1), each_round = beating(2);
  stop_and_continue(unheard, 0);
  stop_and_continue(heard, 1);
  int status;
  const pid_t family = spawn([&] {
    const pid_t child = beating(3);
    wait_until(&beats[3], 1);
    kill(child, SIGSTOP);
    int how;
    CHECK_EQ(waitpid(child, &how, WUNTRACED), child);
    raise(SIGSTOP);
    CHECK_EQ(waitpid(child, &how, WUNTRACED | WNOHANG), 0);
    const int before = get(&beats[3]);
    kill(child, SIGCONT);
    wait_until(&beats[3], before + 1);
    kill(child, SIGKILL);
    return waitpid(child, &how, 0) == child ? 0 : 1;
  });
  CHECK_EQ(waitpid(family, &status, WUNTRACED), family);
  CHECK_EQ(waitpid(heard, &status, WCONTINUED), heard);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  const timespec none{0, 0};
  while (sigtimedwait(&child, nullptr, &none) > 0) {
  }
  ready();
  for (int i = 0; i < steps(); i++) {
    sigset_t pending;
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGCHLD));  // nothing has happened to them
    stop_and_continue(each_round, 2);
    step();
    CHECK_EQ(waitpid(each_round, &status, WCONTINUED | WNOHANG), each_round);
    CHECK(WIFCONTINUED(status));
    CHECK(sigtimedwait(&child, nullptr, &none) == SIGCHLD);
    CHECK_EQ(waitpid(heard, &status, WCONTINUED | WUNTRACED | WNOHANG), 0);
    note("round %d", i);
  }
  CHECK_EQ(waitpid(unheard, &status, WCONTINUED | WUNTRACED | WNOHANG), unheard);
  CHECK(WIFCONTINUED(status));
  CHECK_EQ(waitpid(unheard, &status, WCONTINUED | WUNTRACED | WNOHANG), 0);
  kill(family, SIGCONT);
  CHECK_EQ(reap(family), 0);
  for (pid_t pid : {unheard, heard, each_round}) {
    kill(pid, SIGKILL);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
  }
  finish();
}
