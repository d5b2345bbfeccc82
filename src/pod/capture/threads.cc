// What each thread has of its own. Registers and xstate come through ptrace, the rest by one remote batch a thread.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/io.h"
#include "pod/capture/capture.h"
#include "pod/capture/thread_questions.h"
#include "pod/kernel_abi.h"

namespace godwit::pod {
namespace {

constexpr int kIoprioWhoProcess = 1;
constexpr uint64_t kErestartRestartblock = static_cast<uint64_t>(-516);

std::string bytes_of(const auto& object) { return {reinterpret_cast<const char*>(&object), sizeof object}; }

void fill_credentials(const ProcStatus& status, pb::Credentials& out) {
  for (const auto id : status.uids) out.add_uids(id);
  for (const auto id : status.gids) out.add_gids(id);
  for (const auto id : status.groups) out.add_groups(id);
  out.set_cap_inheritable(status.cap_inh);
  out.set_cap_permitted(status.cap_prm);
  out.set_cap_effective(status.cap_eff);
  out.set_cap_bounding(status.cap_bnd);
  out.set_cap_ambient(status.cap_amb);
  out.set_no_new_privs(status.no_new_privs);
}

// The calls that leave a restart block (kernel/time, fs/select.c, kernel/futex): relative sleeps, poll and futex waits with
// a time-out.
constexpr long kRestartable[] = {SYS_nanosleep, SYS_clock_nanosleep, SYS_poll, SYS_futex};

// Once a call was restarted, the registers say restart_syscall and no longer which call it was. The instruction that
// loaded its number stands just before the syscall instruction in all code that compilers make ("mov $nr, %eax"); where it
// doesn't (a generic syscall wrapper), the arguments tell the four apart.
long interrupted_call(pid_t pid, const user_regs_struct& regs) {
  if (regs.orig_rax != SYS_restart_syscall) return static_cast<long>(regs.orig_rax);
  unsigned char code[32]{};
  constexpr size_t kSyscallInstructionSize = 2;
  if (read_memory(pid, regs.rip - kSyscallInstructionSize - sizeof code, std::as_writable_bytes(std::span(code)))) {
    for (size_t at = sizeof code - 5 + 1; at-- > 0;) {
      if (code[at] != 0xb8) continue;  // mov $imm32, %eax
      uint32_t number = 0;
      std::memcpy(&number, code + at + 1, sizeof number);
      if (std::ranges::find(kRestartable, static_cast<long>(number)) != std::end(kRestartable)) return number;
    }
  }
  constexpr uint64_t kLowest = 4096;  // below it are no addresses
  if (regs.rdi < kLowest || static_cast<int64_t>(regs.rdi) < 0) return SYS_clock_nanosleep;
  const uint64_t operation = regs.rsi & 0x7f;
  if (regs.rsi < kLowest && (operation == 0 || operation == 9) && regs.r10 >= kLowest) return SYS_futex;
  return regs.rsi == 0 || regs.rsi >= kLowest ? SYS_nanosleep : SYS_poll;
}

// A relative sleep that was interrupted keeps what is left of it only inside the kernel; nanosleep writes it to its
// second argument when it has one (nanosleep(2)). Else the whole time-out is used again: late is allowed, early isn't.
int64_t remaining_of(pid_t pid, long call, const user_regs_struct& regs) {
  uint64_t rem = 0;
  if (call == SYS_nanosleep)
    rem = regs.rsi;
  else if (call == SYS_clock_nanosleep)
    rem = regs.r10;
  if (rem == 0) return -1;
  const auto left = read_object<timespec>(pid, rem);
  return left ? left->tv_sec * 1'000'000'000 + left->tv_nsec : -1;
}

}  // namespace

Result<void> Capture::capture_thread(FrozenProcess& process, size_t index, pb::Thread& out) {
  auto& tracee = process.threads[index];
  out.set_tid(process.thread_ids[index]);
  const auto& regs = tracee.regs();
  if (regs.cs == 0x23) refuse("compat-32", process.name(), {});
  out.set_regs(bytes_of(regs));
  TRY(const auto xstate, tracee.get_xstate());
  // Most of its 11 KiB (with AMX) are zero, and last.
  const auto used = std::ranges::find_if(xstate.rbegin(), xstate.rend(), [](std::byte b) { return b != std::byte{0}; });
  out.set_xstate(xstate.data(), static_cast<size_t>(xstate.rend() - used));
  if (xstate.size() >= 520) {
    uint64_t xstate_bv = 0;
    std::memcpy(&xstate_bv, xstate.data() + 512, sizeof xstate_bv);  // XSAVE header, Intel SDM vol. 1, 13.4.2
    state_.mutable_host()->set_xfeatures(state_.host().xfeatures() | xstate_bv);
    state_.mutable_host()->set_xsave_size(std::max(state_.host().xsave_size(), static_cast<uint32_t>(xstate.size())));
  }
  out.set_blocked(tracee.blocked());
  TRY(const auto pending, tracee.pending(false));
  for (const auto& info : pending) out.add_pending(bytes_of(info));
  if (tracee.held_signal()) out.add_pending(bytes_of(*tracee.held_signal()));
  abi::RseqConfiguration rseq{};
  if (::ptrace(abi::kPtraceGetRseqConfiguration, tracee.tid(), sizeof rseq, &rseq) > 0 && rseq.pointer != 0) {
    auto* r = out.mutable_rseq();
    r->set_address(rseq.pointer);
    r->set_size(rseq.size);
    r->set_signature(rseq.signature);
    r->set_flags(rseq.flags);
    TRY(const auto section, read_object<uint64_t>(process.host_pid, rseq.pointer + 8));  // struct rseq: rseq_cs
    r->set_critical_section(section);
  }
  if (regs.rax == kErestartRestartblock && regs.orig_rax != ~0ull) {
    out.mutable_restart()->set_armed(true);
    const long call = interrupted_call(process.host_pid, regs);
    out.mutable_restart()->set_call(static_cast<int>(call));
    out.mutable_restart()->set_remaining_ns(remaining_of(process.host_pid, call, regs));
  }
  TRY(const auto status, status_of(process, index));
  fill_credentials(status, *out.mutable_creds());
  return capture_seccomp(process, tracee, status, out);
}

#define ANSWER(field) (raw(at) + offsetof(Answers, field))
ThreadQuestions::ThreadQuestions(Batch& batch, RemoteAddress at) {
  batch.add(SYS_prctl, abi::kPrGetTidAddress, ANSWER(tid_address), 0, 0, 0);
  batch.add(SYS_get_robust_list, 0, ANSWER(robust_list), ANSWER(robust_list_size));
  batch.add(SYS_sigaltstack, 0, ANSWER(altstack));
  batch.add(SYS_prctl, PR_GET_PDEATHSIG, ANSWER(pdeath_signal), 0, 0, 0);
  batch.add(SYS_sched_getattr, 0, ANSWER(sched), sizeof(SchedAttr), 0);
  batch.add(SYS_prctl, PR_GET_NAME, ANSWER(comm), 0, 0, 0);
  slack_ = batch.add(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
  securebits_ = batch.add(SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
  ioprio_ = batch.add(SYS_ioprio_get, kIoprioWhoProcess, 0);
  for (size_t i = 0; i < speculation_.size(); i++)
    speculation_[i] = batch.add(SYS_prctl, PR_GET_SPECULATION_CTRL, i, 0, 0, 0);
}
#undef ANSWER

void ThreadQuestions::put(const Batch& batch, const Answers& a, const Tracee& thread, pb::Thread& out) const {
  out.set_comm(std::string(a.comm, ::strnlen(a.comm, sizeof a.comm)));
  out.set_tid_address(a.tid_address);
  out.set_robust_list(a.robust_list);
  out.set_robust_list_size(a.robust_list_size);
  out.set_altstack(bytes_of(a.altstack));
  out.set_pdeath_signal(a.pdeath_signal);
  auto* s = out.mutable_schedule();
  s->set_policy(a.sched.policy);
  s->set_nice(a.sched.nice);
  s->set_priority(a.sched.priority);
  s->set_runtime(a.sched.runtime);
  s->set_deadline(a.sched.deadline);
  s->set_period(a.sched.period);
  s->set_flags(a.sched.flags);
  s->set_affinity(thread.cpus());
  if (batch.result(ioprio_) > 0) s->set_io_priority(static_cast<uint32_t>(batch.result(ioprio_)));
  out.set_timer_slack_ns(static_cast<uint64_t>(std::max<int64_t>(0, batch.result(slack_))));
  out.mutable_creds()->set_securebits(static_cast<uint32_t>(std::max<int64_t>(0, batch.result(securebits_))));
  for (uint32_t i = 0; i < speculation_.size(); i++) {
    const int64_t value = batch.result(speculation_[i]);
    // Only what the task itself chose can be, and has to be, made again: PR_SPEC_PRCTL with a decision.
    if (value <= 0 || (value & PR_SPEC_PRCTL) == 0 || (value & (PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE)) == 0)
      continue;
    auto* spec = out.add_speculation();
    spec->set_which(i);
    spec->set_value(static_cast<uint32_t>(value & ~PR_SPEC_PRCTL));
  }
}

Result<void> Capture::ask_thread(FrozenProcess& process, const Tracee& thread, pb::Thread& out) {
  TRY(Remote * remote, frozen_->remote(process));
  Batch batch;
  const ThreadQuestions questions(batch, remote->scratch());
  ThreadQuestions::Answers answers;
  TRY_DO(remote->run(thread, batch, std::as_writable_bytes(std::span(&answers, 1))));
  questions.put(batch, answers, thread, out);
  return {};
}

Result<void> Capture::capture_seccomp(const FrozenProcess& process, const Tracee& thread, const ProcStatus& status,
                                      pb::Thread& out) {
  out.set_seccomp_mode(static_cast<uint32_t>(status.seccomp));
  if (status.seccomp != 2) return {};
  // PTRACE_SECCOMP_GET_FILTER counts from the newest (index 0); they are installed again oldest first.
  struct Instruction {
    uint16_t code;
    uint8_t jt, jf;
    uint32_t k;
  };
  std::vector<pb::SeccompFilter> newest_first;
  for (unsigned long i = 0;; i++) {
    const long length = ::ptrace(abi::kPtraceSeccompGetFilter, thread.tid(), i, nullptr);
    if (length < 0) {
      if (errno == ENOENT) break;
      refuse("seccomp-filter", process.name(), std::strerror(errno));
      return {};
    }
    std::vector<Instruction> program(static_cast<size_t>(length));
    if (::ptrace(abi::kPtraceSeccompGetFilter, thread.tid(), i, program.data()) < 0)
      return fail_errno(errno, "PTRACE_SECCOMP_GET_FILTER");
    struct {
      uint64_t filter_off, flags;
    } metadata{i, 0};
    (void)::ptrace(abi::kPtraceSeccompGetMetadata, thread.tid(), sizeof metadata, &metadata);
    pb::SeccompFilter filter;
    filter.set_program(program.data(), program.size() * sizeof(Instruction));
    filter.set_flags(metadata.flags);
    newest_first.push_back(std::move(filter));
  }
  for (auto it = newest_first.rbegin(); it != newest_first.rend(); ++it) *out.add_seccomp() = std::move(*it);
  return {};
}

}  // namespace godwit::pod
