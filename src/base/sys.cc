#include "base/sys.h"

#include <dirent.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace godwit::sys {
namespace {

// Runs `call` until it isn't interrupted by a signal.
template <typename F>
auto retry(F call) {
  for (;;) {
    auto r = call();
    if (r != -1 || errno != EINTR) return r;
  }
}

Result<Fd> as_fd(int r, std::string what) {
  if (r < 0) return fail_errno(errno, std::move(what));
  return Fd(r);
}

}  // namespace

Result<Fd> open(const std::string& path, int flags, mode_t mode) {
  return as_fd(retry([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); }), "open " + path);
}

Result<Fd> open_at(const Fd& dir, const std::string& path, int flags, mode_t mode) {
  return as_fd(retry([&] { return ::openat(dir.get(), path.c_str(), flags | O_CLOEXEC, mode); }), "open " + path);
}

Result<Fd> dup(int fd) { return dup_at_least(fd, 0); }

Result<Fd> dup_at_least(int fd, int minimum) {
  return as_fd(::fcntl(fd, F_DUPFD_CLOEXEC, minimum), "dup of fd " + std::to_string(fd));
}

Result<std::pair<Fd, Fd>> pipe(int flags) {
  int fds[2];
  if (::pipe2(fds, flags | O_CLOEXEC) < 0) return fail_errno(errno, "pipe2");
  return std::pair{Fd(fds[0]), Fd(fds[1])};
}

Result<std::pair<Fd, Fd>> socketpair(int domain, int type) {
  int fds[2];
  if (::socketpair(domain, type | SOCK_CLOEXEC, 0, fds) < 0) return fail_errno(errno, "socketpair");
  return std::pair{Fd(fds[0]), Fd(fds[1])};
}

Result<Fd> memfd(const std::string& name, unsigned flags) {
  return as_fd(::memfd_create(name.c_str(), flags | MFD_CLOEXEC), "memfd_create " + name);
}

Result<Fd> eventfd(unsigned initial, int flags) { return as_fd(::eventfd(initial, flags | EFD_CLOEXEC), "eventfd"); }

Result<Fd> pidfd_open(pid_t pid, unsigned flags) {
  return as_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, flags)), "pidfd_open of pid " + std::to_string(pid));
}

Result<Fd> pidfd_getfd(const Fd& pidfd, int fd) {
  return as_fd(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), fd, 0)),
               "pidfd_getfd of fd " + std::to_string(fd));
}

Result<struct stat> stat(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) < 0) return fail_errno(errno, "stat " + path);
  return st;
}

Result<struct stat> lstat(const std::string& path) {
  struct stat st;
  if (::lstat(path.c_str(), &st) < 0) return fail_errno(errno, "lstat " + path);
  return st;
}

Result<struct stat> stat_at(const Fd& dir, const std::string& path, int flags) {
  struct stat st;
  if (::fstatat(dir.get(), path.c_str(), &st, flags) < 0) return fail_errno(errno, "stat " + path);
  return st;
}

Result<struct stat> stat(const Fd& fd) {
  struct stat st;
  if (::fstat(fd.get(), &st) < 0) return fail_errno(errno, "fstat of fd " + std::to_string(fd.get()));
  return st;
}

namespace {
Result<std::string> read_link_from(int dir, const std::string& path) {
  std::string buffer(256, '\0');
  for (;;) {
    const ssize_t n = ::readlinkat(dir, path.c_str(), buffer.data(), buffer.size());
    if (n < 0) return fail_errno(errno, "readlink " + path);
    if (static_cast<size_t>(n) < buffer.size()) {
      buffer.resize(static_cast<size_t>(n));
      return buffer;
    }
    buffer.resize(buffer.size() * 2);
  }
}
}  // namespace

Result<std::string> read_link(const std::string& path) { return read_link_from(AT_FDCWD, path); }
Result<std::string> read_link_at(const Fd& dir, const std::string& path) { return read_link_from(dir.get(), path); }

Result<void> make_dirs(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), mode) < 0 && errno != EEXIST) return fail_errno(errno, "mkdir " + part);
    if (slash == std::string::npos) break;
  }
  struct stat st;
  if (::stat(path.c_str(), &st) < 0) return fail_errno(errno, "stat " + path);
  if (!S_ISDIR(st.st_mode)) return fail_errno(ENOTDIR, "mkdir " + path);
  return {};
}

Result<void> rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) < 0) return fail_errno(errno, "rename " + from + " to " + to);
  return {};
}

Result<void> unlink(const std::string& path) {
  if (::unlink(path.c_str()) < 0) return fail_errno(errno, "unlink " + path);
  return {};
}

Result<void> mount(const std::string& source, const std::string& target, const std::string& type, unsigned long flags,
                   const std::string& data) {
  if (::mount(source.c_str(), target.c_str(), type.empty() ? nullptr : type.c_str(), flags,
              data.empty() ? nullptr : data.c_str()) < 0) {
    return fail_errno(errno, "mount " + source + " at " + target);
  }
  return {};
}

namespace {

struct DirCloser {
  void operator()(DIR* d) const { ::closedir(d); }
};

Result<std::vector<std::string>> list_open_dir(int fd, const std::string& path) {
  std::unique_ptr<DIR, DirCloser> dir(::fdopendir(fd));
  if (!dir) {
    const int saved = errno;
    ::close(fd);
    return fail_errno(saved, "opendir " + path);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return fail_errno(errno, "readdir " + path);
  return names;
}

Result<void> remove_tree_at(int dir, const std::string& name, dev_t device) {
  struct stat st;
  if (::fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, "stat " + name);
  }
  if (!S_ISDIR(st.st_mode)) {
    if (::unlinkat(dir, name.c_str(), 0) < 0 && errno != ENOENT) return fail_errno(errno, "unlink " + name);
    return {};
  }
  if (device != 0 && st.st_dev != device) return fail(Code::kRefused, name + " is another file system: not removed");
  Fd sub(::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!sub.valid()) return fail_errno(errno, "open " + name);
  TRY(Fd copy, dup(sub.get()));
  TRY(const auto names, list_open_dir(copy.release(), name));
  for (const auto& child : names) TRY_IN(name, remove_tree_at(sub.get(), child, st.st_dev));
  if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT) return fail_errno(errno, "rmdir " + name);
  return {};
}

}  // namespace

Result<void> remove_tree(const std::string& path) { return remove_tree_at(AT_FDCWD, path, 0); }

Result<std::vector<std::string>> list_dir(const std::string& path) {
  TRY(Fd dir, open(path, O_RDONLY | O_DIRECTORY));
  return list_open_dir(dir.release(), path);
}

Result<std::vector<std::string>> list_dir_at(const Fd& dir, const std::string& path) {
  TRY(Fd sub, open_at(dir, path, O_RDONLY | O_DIRECTORY));
  return list_open_dir(sub.release(), path);
}

}  // namespace godwit::sys
