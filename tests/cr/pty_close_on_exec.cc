// cr: descriptors of a terminal's side that was opened close-on-exec by TIOCGPTPEER: each keeps a flag of its own
#include <sys/ioctl.h>

#include "util/step.h"

int main() {
  int master = CHECK_FD(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  MUST(unlockpt(master));
  // The kernel leaves O_CLOEXEC in this description's flags (F_GETFL shows it), and so in fdinfo of all its descriptors.
  int closes = CHECK_FD(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  int stays = CHECK_FD(dup(closes));
  int plain = CHECK_FD(open(ptsname(master), O_RDWR | O_NOCTTY));
  int plain_closes = CHECK_FD(fcntl(plain, F_DUPFD_CLOEXEC, 0));
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    CHECK_EQ(fcntl(master, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(closes, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(stays, F_GETFD), 0);
    CHECK_EQ(fcntl(plain, F_GETFD), 0);
    CHECK_EQ(fcntl(plain_closes, F_GETFD), FD_CLOEXEC);
    note("round %d", i);
  }
  finish();
}
