#include "keeper/visitors.h"  // first, so that the header proves self-contained

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/sys.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5; not in the headers of Debian 12
#endif

namespace godwit::keeper {
namespace {

Result<ino_t> namespace_of(const Fd& proc, const std::string& process) {
  struct stat status{};
  if (::fstatat(proc.get(), (process + "/ns/pid").c_str(), &status, 0) < 0)
    return fail_errno(errno, "PID namespace of process " + process);
  return status.st_ino;
}

/// Of the process that connected. Invalid before Linux 6.5.
Fd pidfd_of(const Fd& socket) {
  int fd = -1;
  socklen_t length = sizeof fd;
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERPIDFD, &fd, &length) == 0 ? Fd(fd) : Fd();
}

}  // namespace

Result<Visitors> Visitors::open() {
  TRY(Fd proc, sys::open("/proc", O_PATH | O_DIRECTORY));
  TRY(const ino_t own, namespace_of(proc, "self"));
  return Visitors(std::move(proc), own);
}

Result<void> Visitors::check(const Fd& socket) const {
  ucred who{};
  socklen_t length = sizeof who;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) < 0) return fail_errno(errno, "SO_PEERCRED");
  if (who.pid <= 0) return fail(Code::kRefused, "a process that isn't of this node's PID namespace");
  const std::string process = std::to_string(who.pid);
  const Fd pidfd = pidfd_of(socket);
  TRY(const ino_t theirs, namespace_of(proc_, process));
  if (theirs != own_) return fail(Code::kRefused, "process " + process + " is of another PID namespace, a unit's");
  // It was looked at by its number, which is another process's by now if whoever connected has ended.
  if (pidfd.valid() && ::syscall(SYS_pidfd_send_signal, pidfd.get(), 0, nullptr, 0) < 0)
    return fail_errno(errno, "process " + process);
  return {};
}

}  // namespace godwit::keeper
