// cr: dead children that nobody has waited for yet, by exit and by signal
#include <sys/resource.h>

#include "util/step.h"

int main() {
  constexpr int kDead = 12;
  pid_t dead[kDead];
  // The runner's harness may hand us an ignored SIGCHLD; zombies need the default.
  signal(SIGCHLD, SIG_DFL);
  for (int c = 0; c < kDead; c++) {
    dead[c] = fork();
    CHECK(dead[c] >= 0);
    if (dead[c] == 0) {
      rlimit none = {0, 0};
      setrlimit(RLIMIT_CORE, &none);
      if (c % 3 == 1) kill(getpid(), SIGKILL);
      if (c % 3 == 2) {
        signal(SIGUSR2, SIG_DFL);
        kill(getpid(), SIGUSR2);
      }
      _exit(40 + c);
    }
  }
  for (pid_t pid : dead) {
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  }
  ready();
  for (int i = 0; i < steps(); i++) {
    siginfo_t info = {};
    CHECK_EQ(waitid(P_PID, static_cast<id_t>(dead[i % kDead]), &info, WEXITED | WNOWAIT | WNOHANG), 0);
    CHECK_EQ(info.si_pid, dead[i % kDead]);
    CHECK_EQ(info.si_uid, getuid());
    note("round %d: child %d: code %d status %d", i, i % kDead, info.si_code, info.si_status);
    step();
  }
  for (int c = 0; c < kDead; c++) {
    int status;
    CHECK_EQ(waitpid(dead[c], &status, WNOHANG), dead[c]);
    note("child %d: wait status %04x", c, status);
  }
  CHECK(waitpid(-1, nullptr, 0) == -1 && errno == ECHILD);
  finish();
}
