// cr: pidfds: of oneself, of a living child, a zombie, a dead process; a poll that waits for a child's end
#include <poll.h>
#include <sys/syscall.h>

#include "util/step.h"

static int pidfd(pid_t pid) { return static_cast<int>(MUST(syscall(SYS_pidfd_open, pid, 0))); }
static int send(int fd, int signal) { return static_cast<int>(syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0)); }
static bool ended(int fd) {
  pollfd p = {fd, POLLIN, 0};
  return poll(&p, 1, 0) == 1;
}

int main() {
  int stop[2];
  MUST(pipe(stop));
  pid_t living = spawn([&] {
    close(stop[1]);
    char c;
    return read(stop[0], &c, 1) == 0 ? 5 : 1;
  });
  pid_t zombie = spawn([] { return 3; });
  pid_t dead = spawn([] { return 4; });
  int self = pidfd(getpid()), alive = pidfd(living), undead = pidfd(zombie), gone = pidfd(dead);
  CHECK_EQ(reap(dead), 4);
  siginfo_t info;
  MUST(waitid(P_PID, static_cast<id_t>(zombie), &info, WEXITED | WNOWAIT));
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    CHECK_EQ(send(self, 0), 0);
    CHECK_EQ(send(alive, 0), 0);
    CHECK_EQ(send(gone, 0), -1);
    CHECK_EQ(errno, ESRCH);
    CHECK(!ended(alive) && ended(undead) && ended(gone));
    note("round %d", i);
  }
  info = {};
  MUST(waitid(static_cast<idtype_t>(3) /* P_PIDFD */, static_cast<id_t>(undead), &info, WEXITED));
  CHECK_EQ(info.si_pid, zombie);
  CHECK_EQ(info.si_status, 3);
  close(stop[1]);
  pollfd p = {alive, POLLIN, 0};
  CHECK_EQ(poll(&p, 1, -1), 1);
  CHECK_EQ(reap(living), 5);
  finish();
}
