// One wrapper per system call that the project uses: EINTR is retried, failures are Results that name the call and its
// main argument. O_CLOEXEC is always added. Calls on *other* processes live in pod/.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::sys {

/// open(2)/openat(2); O_CLOEXEC is added.
Result<Fd> open(const std::string& path, int flags, mode_t mode = 0644);
Result<Fd> open_at(const Fd& dir, const std::string& path, int flags, mode_t mode = 0644);
Result<Fd> dup(int fd);
/// fcntl(F_DUPFD_CLOEXEC): the lowest free number that is at least `minimum`.
Result<Fd> dup_at_least(int fd, int minimum);
Result<std::pair<Fd, Fd>> pipe(int flags = 0);
Result<std::pair<Fd, Fd>> socketpair(int domain, int type);
Result<Fd> memfd(const std::string& name, unsigned flags = 0);
Result<Fd> eventfd(unsigned initial = 0, int flags = 0);
Result<Fd> pidfd_open(pid_t pid, unsigned flags = 0);
/// A duplicate of descriptor `fd` of the process behind `pidfd` (needs ptrace rights over it; Linux 5.6).
Result<Fd> pidfd_getfd(const Fd& pidfd, int fd);

Result<struct stat> stat(const std::string& path);
Result<struct stat> lstat(const std::string& path);
Result<struct stat> stat_at(const Fd& dir, const std::string& path, int flags = 0);
Result<struct stat> stat(const Fd& fd);
Result<std::string> read_link(const std::string& path);
Result<std::string> read_link_at(const Fd& dir, const std::string& path);
Result<void> make_dirs(const std::string& path, mode_t mode = 0755);
Result<void> rename(const std::string& from, const std::string& to);
Result<void> unlink(const std::string& path);
Result<void> mount(const std::string& source, const std::string& target, const std::string& type, unsigned long flags,
                   const std::string& data = {});
/// Removes a tree; a missing one is not an error. Never follows symbolic links or leaves the file system it starts on.
Result<void> remove_tree(const std::string& path);

/// Names in a directory without "." and "..", in the kernel's order.
Result<std::vector<std::string>> list_dir(const std::string& path);
Result<std::vector<std::string>> list_dir_at(const Fd& dir, const std::string& path);

}  // namespace godwit::sys
