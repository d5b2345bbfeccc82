// steady MARK MEGABYTES: the unit of the fault matrix. Writes the lines of steady.h, one each 3 ms, to standard output and
// to the file `log` in its directory, until SIGTERM; then it compares the file with what it should hold and ends with 0.
// A full disk is no reason to end: it waits until there is room.
#include "steady.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>

namespace {

volatile sig_atomic_t end = 0;
void on_term(int) { end = 1; }

constexpr timespec kPause{0, 3'000'000};

void write_all(int fd, const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    if (n > 0) at += static_cast<size_t>(n);
    if (n > 0 || errno == EINTR) continue;
    if (errno != ENOSPC) ::_exit(8);
    ::nanosleep(&kPause, nullptr);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto megabytes = static_cast<size_t>(std::atoi(argv[2]));
  godwit::test::Steady steady(megabytes);
  struct sigaction action{};
  action.sa_handler = on_term;
  ::sigaction(SIGTERM, &action, nullptr);
  const int log = ::open("log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) return 3;
  std::string all;
  while (end == 0) {
    const std::string line = steady.next();
    all += line;
    write_all(1, line);
    write_all(log, line);
    ::nanosleep(&kPause, nullptr);
  }
  std::string found(all.size() + 1, '\0');
  const ssize_t n = ::pread(log, found.data(), found.size(), 0);
  if (n < 0) return 4;
  found.resize(static_cast<size_t>(n));
  return found == all ? 0 : 9;
}
