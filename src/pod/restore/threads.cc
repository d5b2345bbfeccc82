// Threads and what each has of its own. See restorer.h.
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "pod/kernel_abi.h"
#include "pod/pinning.h"
#include "pod/restore/restorer.h"

namespace godwit::pod {
namespace {

constexpr int64_t kErestartRestartblock = -516;
constexpr int kIoprioWhoProcess = 1;
constexpr uint32_t kSchedDeadline = 6;  // SCHED_DEADLINE, sched(7)
constexpr int kSecbitNoSetuidFixup = 1 << 2;

template <typename T>
void put(std::byte* at, const T& value) {
  std::memcpy(at, &value, sizeof value);
}

struct SchedAttr {  // sched_setattr(2)
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

// How many this kernel has: 0 up to the last of capabilities(7).
int known_capabilities() {
  static const int kCount = [] {
    int n = 0;
    while (n < 64 && ::prctl(PR_CAPBSET_READ, n, 0, 0, 0) >= 0) n++;
    return n;
  }();
  return kCount;
}

template <typename T>
Result<T> object_of(const std::string& bytes, const char* what) {
  if (bytes.size() != sizeof(T))
    return fail(Code::kCorrupt, std::string(what) + " of " + std::to_string(bytes.size()) + " bytes");
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

}  // namespace

Result<void> Restorer::clone_threads(Blank& blank, const pb::Process& process) {
  constexpr uint64_t kFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
  if (process.threads_size() == 0) return fail(Code::kCorrupt, "a process without threads");
  for (int i = 1; i < process.threads_size(); i++) {
    TRY(const pid_t tid, remote_clone(blank, process.threads(i).tid(), kFlags, 0));
    blank.threads.push_back(Tracee::adopt(tid));
    TRY_DO(blank.threads.back().hold());
  }
  return {};
}

Result<void> Restorer::restore_thread(Plan& plan, Blank& blank, Tracee& tracee, const pb::Thread& thread) {
  TRY(auto altstack, object_of<stack_t>(thread.altstack(), "an alternative signal stack"));
  altstack.ss_flags &= ~SS_ONSTACK;
  plan.must("sigaltstack", SYS_sigaltstack, plan.put(altstack), 0);
  if (thread.robust_list() != 0)
    plan.must("set_robust_list", SYS_set_robust_list, thread.robust_list(), thread.robust_list_size());
  plan.add(SYS_set_tid_address, thread.tid_address());
  plan.must("PR_SET_NAME", SYS_prctl, PR_SET_NAME, plan.put_text(thread.comm().substr(0, 15)), 0, 0, 0);
  plan.add(SYS_prctl, PR_SET_TIMERSLACK, thread.timer_slack_ns(), 0, 0, 0);
  const auto& s = thread.schedule();
  const SchedAttr attributes{sizeof(SchedAttr), s.policy(),  s.flags(),    s.nice(),
                             s.priority(),      s.runtime(), s.deadline(), s.period()};
  const auto sched = plan.add(SYS_sched_setattr, 0, plan.put(attributes), 0);
  plan.then([sched, &thread](const Batch& batch) -> Result<void> {
    const auto policy = thread.schedule().policy();
    if (batch.result(sched) < 0 && policy != 0)
      log::warn("tid {}: scheduling policy {} refused here: {}", thread.tid(), policy, batch.result(sched));
    return {};
  });
  if (s.policy() == SCHED_IDLE) plan.add(SYS_setpriority, PRIO_PROCESS, 0, s.nice());  // sched_setattr leaves it alone
  if (s.io_priority() != 0) plan.add(SYS_ioprio_set, kIoprioWhoProcess, 0, s.io_priority());
  for (const auto& spec : thread.speculation())
    plan.add(SYS_prctl, PR_SET_SPECULATION_CTRL, spec.which(), spec.value(), 0, 0);
  // The kernel takes a deadline only with all CPUs; else the mask comes last (finish_process), for until then it is pinned.
  if (s.policy() == kSchedDeadline) allow_cpus(tracee.tid(), s.affinity());
  return set_xstate(plan, blank, tracee, thread);
}

// Before the commit, so that a state which this CPU or kernel doesn't take is found in time; system calls leave it alone. The
// kernel makes room for a thread's AMX tiles only when it uses them the first time (XFD, arch/x86/kernel/fpu/xstate.c), and
// PTRACE_SETREGSET doesn't count as a use.
Result<void> Restorer::set_xstate(Plan& plan, Blank& blank, Tracee& tracee, const pb::Thread& thread) {
  constexpr size_t kHeader = 512;  // XSAVE header: XSTATE_BV, Intel SDM vol. 1, 13.4.2
  constexpr uint64_t kTileData = 1ull << 18;
  // The kernel takes a whole one only, as long as this machine's; what was zero at its end was left out (capture_thread).
  if (xstate_size_ == 0) {
    TRY(const auto own, tracee.get_xstate());
    xstate_size_ = own.size();
  }
  std::string_view used = thread.xstate();
  while (used.size() > xstate_size_ && used.back() == '\0') used.remove_suffix(1);
  std::vector<std::byte> xstate(std::max(xstate_size_, used.size()));
  std::memcpy(xstate.data(), used.data(), used.size());
  uint64_t present = 0;
  if (xstate.size() >= kHeader + sizeof present) std::memcpy(&present, xstate.data() + kHeader, sizeof present);
  if ((present & kTileData) != 0) {
    TRY_DO(plan.run());
    TRY_IN("AMX tiles", blank.remote->use_tiles(tracee));
  }
  return tracee.set_xstate(xstate);
}

// credentials(7), capabilities(7). User ids are changed with SECBIT_NO_SETUID_FIXUP, so that capabilities stay until they
// are set by hand; the real securebits come when PR_SET_SECUREBITS is still allowed, just before capset().
Result<void> Restorer::set_credentials(Plan& plan, const pb::Thread& thread) const {
  const auto& c = thread.creds();
  const uint64_t has = c.cap_effective() | c.cap_permitted() | c.cap_inheritable() | c.cap_ambient() | c.cap_bounding();
  if ((has & options_.forbidden_capabilities) != 0)
    return fail(Code::kRefused, "a thread with capabilities that the unit's document doesn't let it have");
  if (c.uids_size() != 4 || c.gids_size() != 4 || c.groups_size() > 4096)
    return fail(Code::kCorrupt, "credentials that can't be");
  const std::vector<uint32_t> list(c.groups().begin(), c.groups().end());
  __user_cap_data_struct data[2]{};
  for (size_t half = 0; half < 2; half++) {
    data[half] = {static_cast<uint32_t>(c.cap_effective() >> (32 * half)),
                  static_cast<uint32_t>(c.cap_permitted() >> (32 * half)),
                  static_cast<uint32_t>(c.cap_inheritable() >> (32 * half))};
  }
  const uint64_t header_at = plan.put(__user_cap_header_struct{_LINUX_CAPABILITY_VERSION_3, 0});
  const uint64_t data_at = plan.put(data);
  // One map of ids only, as an ordinary user's namespace has, forbids setgroups (user_namespaces(7)); a failure is told below.
  const auto groups = plan.add(SYS_setgroups, list.size(), plan.put(std::as_bytes(std::span(list))));
  plan.must("setresgid", SYS_setresgid, c.gids(0), c.gids(1), c.gids(2));
  plan.add(SYS_setfsgid, c.gids(3));
  plan.add(SYS_prctl, PR_SET_SECUREBITS, kSecbitNoSetuidFixup, 0, 0, 0);
  plan.must("setresuid", SYS_setresuid, c.uids(0), c.uids(1), c.uids(2));
  plan.add(SYS_setfsuid, c.uids(3));
  for (int cap = 0; cap < known_capabilities(); cap++) {
    if ((c.cap_bounding() >> cap & 1) == 0) plan.add(SYS_prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
  }
  plan.add(SYS_prctl, PR_SET_SECUREBITS, c.securebits(), 0, 0, 0);
  const auto caps = plan.add(SYS_capset, header_at, data_at);
  plan.add(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int cap = 0; cap < known_capabilities(); cap++) {
    if ((c.cap_ambient() >> cap & 1) != 0) plan.add(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
  }
  plan.must("PR_SET_PDEATHSIG", SYS_prctl, PR_SET_PDEATHSIG, thread.pdeath_signal(), 0, 0, 0);
  if (c.no_new_privs()) plan.must("PR_SET_NO_NEW_PRIVS", SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  plan.then([groups, caps, &thread](const Batch& batch) -> Result<void> {
    if (batch.result(groups) < 0 && thread.creds().groups_size() > 0)
      log::warn("tid {}: supplementary groups can't be set here", thread.tid());
    if (batch.result(caps) < 0) return fail_errno(static_cast<int>(-batch.result(caps)), "capset");
    return {};
  });
  return {};
}

Result<void> Restorer::set_seccomp(Plan& plan, const pb::Thread& thread) {
  if (thread.seccomp_mode() == 1) plan.must("seccomp", SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0);
  if (thread.seccomp_mode() == 1) return {};
  for (const auto& filter : thread.seccomp()) {
    const size_t size = filter.program().size();
    if (size % sizeof(sock_filter) != 0 || size > kScratchSize - 64)
      return fail(Code::kCorrupt, "a seccomp filter of " + std::to_string(size) + " bytes");
    if (plan.room() < size + 64) TRY_DO(plan.run());
    const uint64_t program = plan.put(std::as_bytes(std::span(filter.program())));
    const uint64_t filter_at = plan.put(
        sock_fprog{static_cast<unsigned short>(size / sizeof(sock_filter)), reinterpret_cast<sock_filter*>(program)});
    plan.must("seccomp filter", SYS_seccomp, SECCOMP_SET_MODE_FILTER,
              filter.flags() & ~static_cast<uint64_t>(SECCOMP_FILTER_FLAG_TSYNC), filter_at);
  }
  return {};
}

// A call that restart_syscall(2) would continue needs a restart block, which a new task doesn't have: the call is made
// here with an interruption already waiting, so that the kernel itself leaves the block behind. No further remote call
// may be made that could block in this thread.
Result<void> Restorer::arm_restart(Blank& blank, Tracee& tracee, const pb::Thread& thread) {
  TRY(auto regs, object_of<user_regs_struct>(thread.regs(), "registers"));
  if (!thread.has_restart() || !thread.restart().armed()) return {};
  std::byte* scratch = blank.remote->local_scratch();
  auto call = regs;
  const int64_t left = thread.restart().remaining_ns();
  const long number = thread.restart().call();
  if (left >= 0) {
    put(scratch, timespec{left / 1'000'000'000, left % 1'000'000'000});
    if (number == SYS_nanosleep) call.rdi = raw(blank.remote->scratch());
    if (number == SYS_clock_nanosleep) call.rdx = raw(blank.remote->scratch());
  }
  call.rip = raw(blank.remote->base());
  call.rax = static_cast<uint64_t>(number);
  call.orig_rax = ~0ull;
  TRY_DO(tracee.set_regs(call));
  TRY_DO(tracee.cont_and_wait(PTRACE_SYSCALL));  // its entry
  if (::ptrace(PTRACE_INTERRUPT, tracee.tid(), nullptr, nullptr) < 0) return fail_errno(errno, "PTRACE_INTERRUPT");
  TRY_DO(tracee.cont_and_wait(PTRACE_SYSCALL));  // its exit
  TRY(const auto after, tracee.get_regs());
  if (static_cast<int64_t>(after.rax) != kErestartRestartblock) {
    // It had nothing to wait for (the futex has changed, the time is over): its result is the call's result.
    tracee.regs().rax = after.rax;
    tracee.regs().orig_rax = ~0ull;
  }
  return {};
}

// Registers as they are to be, kept in the tracee until release().
Result<void> Restorer::finish_thread(Blank& blank, Tracee& tracee, const pb::Thread& thread) {
  TRY(auto regs, object_of<user_regs_struct>(thread.regs(), "registers"));
  if (thread.has_rseq() && thread.rseq().address() != 0) {
    // Needs the thread's own registers only in that rsp is not used; the area is in the restored memory.
    TRY_DO(blank.remote->call(tracee, SYS_rseq, thread.rseq().address(), thread.rseq().size(), thread.rseq().flags(),
                              thread.rseq().signature()));
  }
  tracee.set_saved(regs, thread.blocked());
  TRY_DO(arm_restart(blank, tracee, thread));
  if (thread.has_rseq() && thread.rseq().critical_section() != 0) {
    // The kernel clears this word whenever the thread runs outside of the section, as it did in our calls.
    const uint64_t section = thread.rseq().critical_section();
    TRY_DO(write_memory(proc_, tracee.tid(), thread.rseq().address() + 8, std::as_bytes(std::span(&section, 1))));
  }
  return {};
}

Result<void> Restorer::drop_trampoline(Blank& blank, const pb::AddressSpace& space) {
  // To read all areas only for the vDSO, which we put where it is, would be most of a resume.
  std::vector<MapEntry> maps(1);
  const auto vdso = std::ranges::find(space.areas(), pb::Area::VDSO, &pb::Area::backing);
  if (vdso != space.areas().end()) {
    maps[0] = {.start = vdso->start(), .end = vdso->end(), .prot = PROT_READ | PROT_EXEC, .name = "[vdso]"};
  }
  auto at = Remote::find_syscall(blank.host_pid, maps);
  if (!at) {
    TRY(maps, proc_.maps(blank.host_pid));
    at = Remote::find_syscall(blank.host_pid, maps);
  }
  if (!at) return std::unexpected(at.error());
  const uint64_t arguments[] = {raw(blank.remote->base()), kTrampolineSize};
  TRY_DO(Remote::step_call(blank.leader(), *at, SYS_munmap, arguments));
  return {};
}

}  // namespace godwit::pod
