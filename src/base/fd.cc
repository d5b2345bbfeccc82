#include "base/fd.h"

#include <unistd.h>

#include <cerrno>

namespace godwit {

void Fd::reset() {
  if (fd_ < 0) return;
  const int saved = errno;
  ::close(std::exchange(fd_, -1));
  errno = saved;
}

}  // namespace godwit
