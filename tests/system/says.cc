// says DONE TOTAL LATER: a program that says how far it is (<godwit.h>), and at a SIGUSR1 says it again, with LATER for DONE.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

#include "portable/libc/godwit.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  // Of a program that has done nothing no part is done.
  while (std::clock() < CLOCKS_PER_SEC / 4) {
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  godwit_progress(std::atof(argv[1]), std::atof(argv[2]));
  int got = 0;
  sigwait(&set, &got);
  godwit_progress(std::atof(argv[3]), std::atof(argv[2]));
  for (;;) ::pause();
}
