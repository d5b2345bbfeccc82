// LateMemory's guard: the process that keeps the userfaultfds open when this one dies, until nobody is left who would go on with
// zeros.
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "pod/restore/late_memory.h"

namespace godwit::pod {
namespace {

// The guard: raw calls only, for it is a copy of a process that had other threads.
[[noreturn]] void run_guard(int keeper, int init) {
  ::prctl(PR_SET_NAME, "godwit-guard");
  ::setsid();
  pollfd p{keeper, POLLIN, 0};
  while (::poll(&p, 1, -1) != 1) {
  }
  (void)::syscall(SYS_pidfd_send_signal, init, SIGKILL, nullptr, 0);
  p.fd = init;
  while (::poll(&p, 1, -1) != 1) {
  }
  ::_exit(0);
}

}  // namespace

// On the pager's thread: copying this process takes a few ms when the unit has much shared memory.
void LateMemory::start_guard() {
  const int keeper = self_.get(), init = init_.get();
  // Without SIGCHLD: whoever waits for children here doesn't know it.
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, CLONE_FILES, 0, 0, 0, 0));
  if (pid == 0) run_guard(keeper, init);
  const std::scoped_lock lock(mutex_);
  guard_ = pid;
  guard_tried_ = true;
  guard_changed_.notify_all();
}

Result<void> LateMemory::guarded() {
  std::unique_lock lock(mutex_);
  guard_changed_.wait(lock, [&] { return guard_tried_; });
  if (guard_ < 0) return fail(Code::kFailed, "the guard of the userfaultfds can't be started");
  return {};
}

void LateMemory::end_guard() {
  if (guard_ <= 0) return;
  ::kill(guard_, SIGKILL);
  while (::waitpid(guard_, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  guard_ = 0;
}

}  // namespace godwit::pod
