// cr: an io_uring, which can't be moved: refused by its name, and the program goes on
// refused: leave: io-uring
// refused: restore: io-uring
// refused: restore2: io-uring
// refused: restore3: io-uring
// refused: move: io-uring
// refused: move3: io-uring
#include <sys/syscall.h>

#include "util/step.h"

int main() {
  char parameters[256] = {};
  int ring = static_cast<int>(syscall(425 /* io_uring_setup */, 4, parameters));
  if (ring < 0) skip("no io_uring here: %s", strerror(errno));
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    CHECK(fcntl(ring, F_GETFD) >= 0);
    note("round %d", i);
  }
  finish();
}
