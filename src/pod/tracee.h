// Tracee: our ptrace grip on one thread. PTRACE_SEIZE, so a seized thread never gets a SIGSTOP that it could notice.
//
// While we hold it stopped all its signals are blocked (hold()), so that nothing but our own calls run in it; the mask,
// the registers and a signal that was on its way at the moment of the stop are put back by release().
// A thread that died meanwhile is Code::kGone, which is normal.
//
// Threads: every call must come from the thread that seized (ptrace(2): a tracer is a thread).
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <sys/user.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::pod {

class Tracee {
 public:
  explicit Tracee(pid_t tid) : tid_(tid) {}
  /// A thread that is already traced by us and stopped (a clone of a traced thread).
  static Tracee adopt(pid_t tid);
  Tracee(Tracee&& other) noexcept { *this = std::move(other); }
  Tracee& operator=(Tracee&& other) noexcept;
  Tracee(const Tracee&) = delete;
  /// Lets go if still held.
  ~Tracee();

  pid_t tid() const { return tid_; }
  bool seized() const { return seized_; }
  /// False between seize() and the stop that wait_for_stop() waits for: nothing can be asked of it, nor can it be let go.
  bool stopped() const { return stopped_; }
  bool is_held() const { return held_ready_; }
  /// hide_interruption() was called.
  bool is_settled() const { return settled_; }

  /// PTRACE_SEIZE and PTRACE_INTERRUPT; doesn't wait.
  Result<void> seize(unsigned long options);
  /// Waits for the stop; Code::kRefused when it hasn't come after `patience_ms` (state D).
  Result<void> wait_for_stop(int patience_ms);
  /// After the stop: remembers registers and mask, blocks all signals.
  Result<void> hold();
  /// Single-steps a held thread out of [start, end), at most a few thousand instructions; false if it stays there.
  Result<bool> step_out_of(uint64_t start, uint64_t end);
  /// Some calls are not restarted by the kernel when a stop interrupts them (epoll_wait(2) and others, signal(7)): if no
  /// signal is the reason, the program must not see the EINTR that only our stop caused. `pending`: signals that wait.
  void hide_interruption(uint64_t pending);
  /// Keeps it on one CPU until release().
  void pin(int cpu);
  /// The CPUs that it may run on when it isn't pinned, as sched_getaffinity(2) writes them.
  std::string cpus() const;
  /// Puts everything back and detaches: the thread goes on as if nothing had happened.
  Result<void> release();
  /// Detaches without putting anything back (the thread is to die, or was set up by hand).
  void detach(int signal = 0);
  /// One that was killed while it stood: waits for its end, which its own parent hears of only when the tracer has. Of a
  /// process's first thread the kernel tells when all others were waited for.
  void bury(int patience_ms);
  /// What release() is to put into the thread, for one that was made and not found.
  void set_saved(const user_regs_struct& regs, uint64_t blocked) {
    regs_ = regs;
    blocked_ = blocked;
  }
  /// Forgets it: it is dead.
  void forget() { seized_ = false; }

  const user_regs_struct& regs() const { return regs_; }
  user_regs_struct& regs() { return regs_; }
  uint64_t blocked() const { return blocked_; }
  /// The signal that was being delivered when it stopped; not in any queue any more.
  const std::optional<siginfo_t>& held_signal() const { return held_; }
  /// Stopped by job control (SIGSTOP and its like) before we came: by which signal; 0 if not.
  int group_stop_signal() const { return group_stop_; }

  Result<user_regs_struct> get_regs() const;
  Result<void> set_regs(const user_regs_struct& regs) const;
  Result<std::vector<std::byte>> get_xstate() const;
  Result<void> set_xstate(const std::vector<std::byte>& data) const;
  Result<void> set_blocked(uint64_t mask) const;
  Result<void> set_siginfo(const siginfo_t& info) const;
  /// Signals pending for the thread (or with `shared` for the process), PTRACE_PEEKSIGINFO.
  Result<std::vector<siginfo_t>> pending(bool shared) const;

  /// Resumes by `request` until a stop that our own code caused; stops of job control on the way are passed over (a
  /// thread that SIGSTOP holds traps again each time it is resumed). Gives the wait status.
  Result<int> cont_and_wait(int request, int signal = 0) const;

 private:
  pid_t tid_ = 0;
  bool seized_ = false;
  bool stopped_ = false;
  bool held_ready_ = false;
  bool settled_ = false;
  user_regs_struct regs_{};
  uint64_t blocked_ = 0;
  std::optional<siginfo_t> held_;
  int group_stop_ = 0;
  std::string cpus_;  ///< of before pin()
};

/// waitpid(__WALL) for one thread; kGone when it doesn't exist or ended.
Result<int> wait_for(pid_t tid);

}  // namespace godwit::pod
