#include "pod/tracee.h"

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>
#include <utility>

#include "base/clock.h"
#include "pod/kernel_abi.h"
#include "pod/pinning.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kAllSignals = ~0ull;

std::string name(pid_t tid) { return "thread " + std::to_string(tid); }

Result<long> trace(__ptrace_request request, pid_t tid, void* address, void* data, const char* what) {
  errno = 0;
  const long r = ::ptrace(request, tid, address, data);
  if (r == -1 && errno != 0) {
    if (errno == ESRCH) return std::unexpected(Error{Code::kGone, ESRCH, std::string(what) + " of " + name(tid)});
    return fail_errno(errno, std::string(what) + " of " + name(tid));
  }
  return r;
}

template <typename T>
void* as_data(T value) {
  return reinterpret_cast<void*>(static_cast<uintptr_t>(value));
}

}  // namespace

Result<int> wait_for(pid_t tid) {
  int status = 0;
  for (;;) {
    const pid_t r = ::waitpid(tid, &status, __WALL);
    if (r == tid) break;
    if (r < 0 && errno == EINTR) continue;
    return std::unexpected(Error{Code::kGone, errno, "waiting for " + name(tid)});
  }
  if (!WIFSTOPPED(status)) return fail(Code::kGone, name(tid) + " ended with status " + std::to_string(status));
  return status;
}

Tracee Tracee::adopt(pid_t tid) {
  Tracee t(tid);
  t.seized_ = true;
  t.stopped_ = true;
  return t;
}

Tracee& Tracee::operator=(Tracee&& other) noexcept {
  if (this == &other) return *this;
  if (seized_) (void)release();
  tid_ = other.tid_;
  seized_ = std::exchange(other.seized_, false);
  stopped_ = std::exchange(other.stopped_, false);
  held_ready_ = std::exchange(other.held_ready_, false);
  settled_ = other.settled_;
  regs_ = other.regs_;
  blocked_ = other.blocked_;
  held_ = other.held_;
  group_stop_ = other.group_stop_;
  cpus_ = std::move(other.cpus_);
  return *this;
}

Tracee::~Tracee() {
  if (seized_) (void)release();
}

Result<void> Tracee::seize(unsigned long options) {
  TRY_DO(trace(PTRACE_SEIZE, tid_, nullptr, as_data(options), "PTRACE_SEIZE"));
  seized_ = true;
  TRY_DO(trace(PTRACE_INTERRUPT, tid_, nullptr, nullptr, "PTRACE_INTERRUPT"));
  return {};
}

Result<void> Tracee::wait_for_stop(int patience_ms) {
  const auto deadline = monotonic_now() + std::chrono::milliseconds(patience_ms);
  for (int spins = 0;; spins++) {
    int status = 0;
    const pid_t r = ::waitpid(tid_, &status, __WALL | WNOHANG);
    if (r < 0 && errno != EINTR) {
      seized_ = false;
      return std::unexpected(Error{Code::kGone, errno, "waiting for " + name(tid_)});
    }
    if (r == tid_) {
      if (!WIFSTOPPED(status)) {
        seized_ = false;
        return fail(Code::kGone, name(tid_) + " ended");
      }
      const unsigned event = static_cast<unsigned>(status) >> 16;
      const int signal = WSTOPSIG(status);
      if (event == abi::kPtraceEventStop) {
        group_stop_ = signal == SIGTRAP ? 0 : signal;
        stopped_ = true;
        return {};
      }
      if (event == 0) {
        // A signal was on its way just when we came. It has left its queue: keep it, release() delivers it.
        siginfo_t info;
        TRY_DO(trace(PTRACE_GETSIGINFO, tid_, nullptr, &info, "PTRACE_GETSIGINFO"));
        held_ = info;
        stopped_ = true;
        return {};
      }
      TRY_DO(trace(PTRACE_CONT, tid_, nullptr, nullptr, "PTRACE_CONT"));  // an event of no interest here
      continue;
    }
    if (monotonic_now() > deadline) return fail(Code::kRefused, name(tid_) + " doesn't stop");
    // The stop usually comes within microseconds; sleeping would cost a timer tick of the freeze.
    if (spins > 200) {
      const timespec nap{0, 50'000};
      ::nanosleep(&nap, nullptr);
    }
  }
}

Result<void> Tracee::hold() {
  TRY(regs_, get_regs());
  TRY_DO(trace(abi::kPtraceGetSigmask, tid_, as_data(sizeof blocked_), &blocked_, "PTRACE_GETSIGMASK"));
  TRY_DO(set_blocked(kAllSignals));
  held_ready_ = true;
  return {};
}

void Tracee::pin(int cpu) {
  if (cpus_.empty()) cpus_ = allowed_cpus(tid_);
  keep_on_cpu(tid_, cpu);
}

std::string Tracee::cpus() const { return cpus_.empty() ? allowed_cpus(tid_) : cpus_; }

Result<bool> Tracee::step_out_of(uint64_t start, uint64_t end) {
  const bool in_call = regs_.orig_rax != ~0ull;
  auto inside = [&] { return start <= regs_.rip && regs_.rip < end; };
  if (!inside() || in_call) return !inside();
  TRY_DO(set_regs(regs_));
  for (int i = 0; i < 5000 && inside(); i++) {
    TRY_DO(cont_and_wait(PTRACE_SINGLESTEP));
    TRY(regs_, get_regs());
  }
  return !inside();
}

void Tracee::hide_interruption(uint64_t pending) {
  settled_ = true;
  // signal(7), "Interruption of system calls and library functions by stop signals", and the socket calls that give EINTR
  // when a time-out is set.
  constexpr long kNotRestarted[] = {
      SYS_epoll_wait,   SYS_epoll_pwait, SYS_epoll_pwait2, SYS_rt_sigtimedwait, SYS_semop,    SYS_semtimedop,
      SYS_io_getevents, SYS_accept,      SYS_accept4,      SYS_connect,         SYS_recvfrom, SYS_recvmsg,
      SYS_recvmmsg,     SYS_sendto,      SYS_sendmsg,      SYS_sendmmsg,        SYS_read,     SYS_readv,
      SYS_write,        SYS_writev,      SYS_inotify_init};
  if (static_cast<int64_t>(regs_.rax) != -EINTR || regs_.orig_rax == ~0ull || held_ || (pending & ~blocked_) != 0)
    return;
  if (std::ranges::find(kNotRestarted, static_cast<long>(regs_.orig_rax)) == std::end(kNotRestarted)) return;
  constexpr uint64_t kSyscallInstructionSize = 2;
  regs_.rip -= kSyscallInstructionSize;
  regs_.rax = std::exchange(regs_.orig_rax, ~0ull);
}

Result<void> Tracee::release() {
  if (!seized_) return {};
  seized_ = false;
  if (!cpus_.empty()) allow_cpus(tid_, std::exchange(cpus_, {}));
  if (held_ready_) {
    held_ready_ = false;
    TRY_DO(set_regs(regs_));
    TRY_DO(set_blocked(blocked_));
  }
  int signal = 0;
  if (held_) {
    signal = held_->si_signo;
    TRY_DO(set_siginfo(*held_));
  }
  TRY_DO(trace(PTRACE_DETACH, tid_, nullptr, as_data(signal), "PTRACE_DETACH"));
  return {};
}

void Tracee::bury(int patience_ms) {
  seized_ = false;
  const auto deadline = monotonic_now() + std::chrono::milliseconds(patience_ms);
  for (int status = 0;;) {
    const pid_t r = ::waitpid(tid_, &status, __WALL | WNOHANG);
    if (r == tid_ && !WIFSTOPPED(status)) return;
    if (r < 0 && errno != EINTR) return;
    if (monotonic_now() > deadline) return;
    if (r == 0) {
      const timespec nap{0, 50'000};
      ::nanosleep(&nap, nullptr);
    }
  }
}

void Tracee::detach(int signal) {
  if (!std::exchange(seized_, false)) return;
  ::ptrace(PTRACE_DETACH, tid_, nullptr, as_data(signal));
}

Result<user_regs_struct> Tracee::get_regs() const {
  user_regs_struct regs;
  TRY_DO(trace(PTRACE_GETREGS, tid_, nullptr, &regs, "PTRACE_GETREGS"));
  return regs;
}

Result<void> Tracee::set_regs(const user_regs_struct& regs) const {
  TRY_DO(trace(PTRACE_SETREGS, tid_, nullptr, const_cast<user_regs_struct*>(&regs), "PTRACE_SETREGS"));
  return {};
}

Result<std::vector<std::byte>> Tracee::get_xstate() const {
  std::array<std::byte, 32768> buffer;  // AMX's is the largest state so far, about 11 KiB
  iovec part{buffer.data(), buffer.size()};
  TRY_DO(trace(PTRACE_GETREGSET, tid_, as_data(NT_X86_XSTATE), &part, "PTRACE_GETREGSET(XSTATE)"));
  return std::vector(buffer.begin(), buffer.begin() + part.iov_len);
}

Result<void> Tracee::set_xstate(const std::vector<std::byte>& data) const {
  iovec part{const_cast<std::byte*>(data.data()), data.size()};
  TRY_DO(trace(PTRACE_SETREGSET, tid_, as_data(NT_X86_XSTATE), &part, "PTRACE_SETREGSET(XSTATE)"));
  return {};
}

Result<void> Tracee::set_blocked(uint64_t mask) const {
  TRY_DO(trace(abi::kPtraceSetSigmask, tid_, as_data(sizeof mask), &mask, "PTRACE_SETSIGMASK"));
  return {};
}

Result<void> Tracee::set_siginfo(const siginfo_t& info) const {
  TRY_DO(trace(PTRACE_SETSIGINFO, tid_, nullptr, const_cast<siginfo_t*>(&info), "PTRACE_SETSIGINFO"));
  return {};
}

Result<std::vector<siginfo_t>> Tracee::pending(bool shared) const {
  std::vector<siginfo_t> all;
  for (;;) {
    siginfo_t some[32];
    __ptrace_peeksiginfo_args arguments{all.size(), shared ? 1u /* PTRACE_PEEKSIGINFO_SHARED */ : 0u, 32};
    TRY(const long n, trace(PTRACE_PEEKSIGINFO, tid_, &arguments, some, "PTRACE_PEEKSIGINFO"));
    all.insert(all.end(), some, some + n);
    if (n < 32) return all;
  }
}

Result<int> Tracee::cont_and_wait(int request, int signal) const {
  for (int attempt = 0;; attempt++) {
    TRY_DO(trace(static_cast<__ptrace_request>(request), tid_, nullptr, as_data(signal), "PTRACE_CONT"));
    TRY(const int status, wait_for(tid_));
    if (static_cast<unsigned>(status) >> 16 != abi::kPtraceEventStop || attempt == 8) return status;
  }
}

}  // namespace godwit::pod
