// cr: stopped children stay stopped, their stop reported once, and go on with SIGCONT
#include <sys/mman.h>

#include "util/step.h"

int main() {
  auto* beats =
      static_cast<volatile int*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  auto body = [&](int slot) {
    for (;;) {
      add(&beats[slot]);
      sleep_ms(1);
    }
    return 0;
  };
  pid_t reported = spawn([&] { return body(0); });    // stopped, and its stop was waited for
  pid_t unreported = spawn([&] { return body(1); });  // stopped, and nobody has asked yet
  pid_t toggled = spawn([&] { return body(2); });     // stopped and continued in each round
  for (int i = 0; i < 3; i++) wait_until(&beats[i], 1);
  kill(reported, SIGSTOP);
  int status;
  CHECK_EQ(waitpid(reported, &status, WUNTRACED), reported);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  kill(unreported, SIGSTOP);
  wait_for_state(unreported, unreported, 'T');
  int beats_at_stop[2] = {get(&beats[0]), get(&beats[1])};
  ready();
  for (int i = 0; i < steps(); i++) {
    kill(toggled, SIGSTOP);
    CHECK_EQ(waitpid(toggled, &status, WUNTRACED), toggled);
    CHECK(WIFSTOPPED(status));
    int before = get(&beats[2]);
    step();
    CHECK_EQ(get(&beats[0]), beats_at_stop[0]);
    CHECK_EQ(get(&beats[1]), beats_at_stop[1]);
    CHECK_EQ(get(&beats[2]), before);
    wait_for_state(reported, reported, 'T');
    kill(toggled, SIGCONT);
    CHECK_EQ(waitpid(toggled, &status, WCONTINUED), toggled);
    CHECK(WIFCONTINUED(status));
    wait_until(&beats[2], before + 1);
    note("round %d", i);
  }
  CHECK_EQ(waitpid(reported, &status, WUNTRACED | WNOHANG), 0);  // reported once before
  CHECK_EQ(waitpid(unreported, &status, WUNTRACED | WNOHANG), unreported);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  for (pid_t pid : {reported, unreported}) {
    kill(pid, SIGCONT);
    wait_until(&beats[pid == reported ? 0 : 1], beats_at_stop[pid == reported ? 0 : 1] + 3);
  }
  for (pid_t pid : {reported, unreported, toggled}) {
    kill(pid, SIGKILL);
    int got;
    do got = waitpid(pid, &status, 0);
    while (got == pid && !WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
  }
  finish();
}
