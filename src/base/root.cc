#include "base/root.h"  // first, so that the header proves self-contained

#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/sys.h"

namespace godwit {

Result<void> enter_root(const std::string& dir, const std::vector<std::string>& keep) {
  if (::unshare(CLONE_NEWNS) < 0) return fail_errno(errno, "own mount namespace");
  TRY_DO(sys::mount("none", "/", "", MS_REC | MS_PRIVATE));
  TRY_DO(sys::mount(dir, dir, "", MS_BIND | MS_REC));  // pivot_root wants a mount point
  TRY_DO(sys::make_dirs(dir + "/proc"));
  // A fresh procfs where it may be made. In a user namespace the kernel may forbid it (parts of /proc are covered, as
  // containers do): then the one that we have must do.
  if (auto fresh = sys::mount("proc", dir + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC); !fresh) {
    TRY_DO(sys::mount("/proc", dir + "/proc", "", MS_BIND | MS_REC));
  }
  std::vector<std::string> binds = {"/sys", "/dev"};
  binds.insert(binds.end(), keep.begin(), keep.end());
  for (const auto& path : binds) {
    TRY_DO(sys::make_dirs(dir + path));
    TRY_DO(sys::mount(path, dir + path, "", MS_BIND | MS_REC));
  }
  TRY_DO(sys::make_dirs(dir + "/tmp", 01777));
  if (::chdir(dir.c_str()) < 0) return fail_errno(errno, "chdir " + dir);
  // pivot_root(".", ".") stacks the old root on top of the new one; detaching it uncovers the new (pivot_root(2)).
  if (::syscall(SYS_pivot_root, ".", ".") < 0) return fail_errno(errno, "pivot_root to " + dir);
  if (::umount2(".", MNT_DETACH) < 0) return fail_errno(errno, "leaving the old root");
  if (::chdir("/") < 0) return fail_errno(errno, "chdir /");
  return {};
}

}  // namespace godwit
