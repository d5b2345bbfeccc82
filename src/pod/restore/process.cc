// What a process has as a whole. See restorer.h.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "base/io.h"
#include "base/log.h"
#include "base/sys.h"
#include "pod/kernel_abi.h"
#include "pod/restore/restorer.h"

namespace godwit::pod {
namespace {

template <typename T>
void put(std::byte* at, const T& value) {
  std::memcpy(at, &value, sizeof value);
}

timespec to_timespec(int64_t ns) { return {ns / 1'000'000'000, ns % 1'000'000'000}; }
timeval to_timeval(int64_t us) { return {us / 1'000'000, us % 1'000'000}; }

struct MmMap {  // struct prctl_mm_map, prctl(2) PR_SET_MM_MAP
  uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end, env_start,
      env_end;
  uint64_t auxv;
  uint32_t auxv_size, exe_fd;
};

}  // namespace

const pb::AddressSpace* Restorer::space_of(pid_t pid) const {
  const auto it = std::ranges::find_if(state_.spaces(), [&](const auto& s) { return s.pid() == pid; });
  return it == state_.spaces().end() ? nullptr : &*it;
}

Result<void> Restorer::set_memory_fields(Plan& plan, const pb::AddressSpace& space) {
  if (space.auxv_size() > 200)
    return fail(Code::kCorrupt, "an auxiliary vector of " + std::to_string(space.auxv_size()) + " words");
  TRY(const Fd exe, sys::open(space.exe(), O_RDONLY));
  const int number[] = {exe.get()};
  TRY_DO(deliver(plan, number));
  const std::vector<uint64_t> auxv(space.auxv().begin(), space.auxv().end());
  const uint64_t auxv_at = plan.put(std::as_bytes(std::span(auxv)));
  const auto& f = space.fields();
  const MmMap map{f.start_code(),
                  f.end_code(),
                  f.start_data(),
                  f.end_data(),
                  f.start_brk(),
                  f.brk(),
                  f.start_stack(),
                  f.arg_start(),
                  f.arg_end(),
                  f.env_start(),
                  f.env_end(),
                  auxv_at,
                  static_cast<uint32_t>(auxv.size() * sizeof(uint64_t)),
                  0};
  plan.must("PR_SET_MM_MAP", SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, plan.put(map), sizeof map, 0);
  plan.must("close", SYS_close, 0);
  return {};
}

// The others have the default action since make_blank().
Result<void> Restorer::set_actions(Plan& plan, const pb::Process& process) {
  for (const auto& a : process.actions()) {
    if (a.signal() < 1 || a.signal() > 64) return fail(Code::kCorrupt, "signal number " + std::to_string(a.signal()));
    if (a.signal() == SIGKILL || a.signal() == SIGSTOP) continue;
    const abi::KernelSigaction action{a.handler(), a.flags(), a.restorer(), a.mask()};
    plan.must("rt_sigaction", SYS_rt_sigaction, a.signal(), plan.put(action), 0, 8);
  }
  return {};
}

void Restorer::set_limits(Plan& plan, Blank& blank, const pb::Process& process) {
  std::vector<size_t> calls;
  for (const auto& l : process.rlimits())
    calls.push_back(plan.add(SYS_prlimit64, 0, l.resource(), plan.put(rlimit{l.soft(), l.hard()}), 0));
  plan.then([calls, &blank, &process](const Batch& batch) -> Result<void> {
    Plan again(*blank.remote, blank.leader());
    for (size_t i = 0; i < calls.size(); i++) {
      if (batch.result(calls[i]) == 0) continue;
      // Raising a hard limit needs CAP_SYS_RESOURCE here; the soft one is given as far as it may go.
      const auto& l = process.rlimits(static_cast<int>(i));
      rlimit have{};
      if (::getrlimit(static_cast<__rlimit_resource>(l.resource()), &have) < 0) continue;
      have.rlim_cur = std::min<rlim_t>(l.soft(), have.rlim_max);
      again.add(SYS_prlimit64, 0, l.resource(), again.put(have), 0);
      log::warn("pid {}: resource limit {} can't be raised to {} here: {}", process.pid(), l.resource(), l.hard(),
                have.rlim_max);
    }
    return again.run();
  });
}

Result<void> Restorer::set_timers(Plan& plan, Blank& blank, const pb::Process& process) {
  if (process.itimers().empty() && process.timers().empty()) return {};
  TRY_DO(plan.run());
  std::byte* scratch = blank.remote->local_scratch();
  const uint64_t base = raw(blank.remote->scratch());
  Batch batch;
  for (int i = 0; i < process.itimers_size() && i < 3; i++) {
    const auto& t = process.itimers(i);
    // Zero with an interval: it has fired, and the kernel starts it again when its signal is taken (setitimer(2)). Made to
    // fire at once, its signal is the one that is pending already.
    const int64_t value_us = t.value_us() == 0 && t.interval_us() != 0 ? 1 : t.value_us();
    put(scratch + i * sizeof(itimerval), itimerval{to_timeval(t.interval_us()), to_timeval(value_us)});
    batch.must("setitimer", SYS_setitimer, t.which(), base + static_cast<size_t>(i) * sizeof(itimerval), 0);
  }
  if (process.timers_size() > 0) {
    // Linux 6.15: timer_create takes the id it is to give from its third argument.
    batch.must("timers with their ids (needs Linux 6.15)", SYS_prctl, abi::kPrTimerCreateRestoreIds, 1, 0, 0, 0);
  }
  if (!batch.empty()) TRY_DO(blank.remote->run(blank.leader(), batch));
  for (const auto& t : process.timers()) {
    sigevent event{};
    event.sigev_notify = t.notify();
    event.sigev_signo = t.signal();
    event.sigev_value.sival_ptr = reinterpret_cast<void*>(t.value());
    event._sigev_un._tid = t.tid();
    put(scratch, event);
    put(scratch + 128, t.id());
    int64_t value_ns = t.value_ns();
    int flags = 0;
    if (t.fired()) {
      // Its signal is pending and belongs to the timer: it is made by letting the timer expire again, in the past, so that
      // the kernel goes on counting overruns for it.
      flags = TIMER_ABSTIME;
      const int64_t due = t.interval_ns() == 0 ? 0 : t.value_ns() - t.interval_ns();
      value_ns = std::max<int64_t>(1, clock(t.clock()).count() + due);
    }
    put(scratch + 256, itimerspec{to_timespec(t.interval_ns()), to_timespec(value_ns)});
    Batch one;
    one.must("timer_create", SYS_timer_create, t.clock(), base, base + 128);
    if (value_ns != 0) one.must("timer_settime", SYS_timer_settime, t.id(), flags, base + 256, 0);
    TRY_DO(blank.remote->run(blank.leader(), one));
  }
  if (process.timers_size() > 0)
    TRY_DO(blank.remote->call(blank.leader(), SYS_prctl, abi::kPrTimerCreateRestoreIds, 0, 0, 0, 0));
  return {};
}

Result<void> Restorer::restore_process(Blank& blank, const pb::Process& process) {
  const auto* space = space_of(process.pid());
  if (space == nullptr) return fail(Code::kCorrupt, "a process without memory");
  TRY_DO(map_held_files(blank, *space));
  TRY_DO(register_late(blank, *space));  // from here on nothing can touch a missing page without waiting for it
  Plan plan(*blank.remote, blank.leader());
  TRY_DO(set_memory_fields(plan, *space));
  if (process.cwd().size() > 4095 || process.root().size() > 4095)
    return fail(Code::kCorrupt, "a path longer than PATH_MAX");
  if (process.root() != "/") plan.must("chroot", SYS_chroot, plan.put_text(process.root()));
  plan.must("chdir to the working directory", SYS_chdir, plan.put_text(process.cwd()));
  plan.must("umask", SYS_umask, process.umask());
  plan.must("personality", SYS_personality, process.personality());
  plan.add(SYS_prctl, PR_SET_THP_DISABLE, process.thp_disable() ? 1 : 0, 0, 0, 0);
  plan.must("child subreaper", SYS_prctl, PR_SET_CHILD_SUBREAPER, process.child_subreaper() ? 1 : 0, 0, 0, 0);
  if (process.tsc_mode() != 0) plan.add(SYS_prctl, PR_SET_TSC, process.tsc_mode(), 0, 0, 0);
  // Bits 0 and 1 (x87, SSE) and 2 (AVX) are always there; AMX tile data is bit 18 and must be asked for before any thread.
  if ((process.xcomp_perm() & (1ull << 18)) != 0)
    plan.must("AMX permission", SYS_arch_prctl, abi::kArchReqXcompPerm, 18);
  TRY_DO(plan.run());
  // Lowering it below where it was needs CAP_SYS_RESOURCE (proc_pid_oom_score_adj(5)).
  if (process.oom_score_adj() == oom_score_adj_) return {};
  if (auto oom = io::write_file_at(proc_.dir(), std::to_string(blank.host_pid) + "/oom_score_adj",
                                   std::to_string(process.oom_score_adj()));
      !oom) {
    log::warn("pid {}: oom_score_adj {} can't be set here", process.pid(), process.oom_score_adj());
  }
  return {};
}

// Process groups: leaders first. A group whose leader has died is founded by a helper that dies again.
Result<void> Restorer::join_groups() {
  std::set<pid_t> led;
  for (const auto& p : state_.processes()) {
    if (p.pgid() == p.pid()) led.insert(p.pid());
  }
  auto join = [&](const pb::Process& p, pid_t group) -> Result<void> {
    Blank* blank = find(p.pid());
    if (blank == nullptr || blank->is_init) return {};
    if (blank->session == blank->pid && p.sid() == p.pid()) return {};  // a session's leader leads its group already
    if (const pid_t leader = host_pid_of(group); leader > 0 && ::getpgid(blank->host_pid) == leader) return {};
    auto r = blank->remote->call(blank->leader(), SYS_setpgid, 0, group);
    if (!r)
      return std::unexpected(
          r.error().in("process group " + std::to_string(group) + " for pid " + std::to_string(p.pid())));
    return {};
  };
  for (const auto& p : state_.processes()) {
    if (p.pgid() == p.pid()) TRY_DO(join(p, p.pid()));
  }
  for (const auto& p : state_.processes()) {
    if (p.pgid() == p.pid() || p.pgid() == 0 || p.is_init()) continue;
    if (led.contains(p.pgid())) {
      TRY_DO(join(p, p.pgid()));
      continue;
    }
    const bool founded_inside = options_.init_host_pid != 0 || p.pgid() != state_.processes(0).pgid();
    if (!founded_inside) continue;  // the group of the process that started the tree: outside of it
    Blank* member = find(p.pid());
    // Born of the dead leader of its session, whose number is the group's: it came into both, and nobody can be born with the
    // number again while somebody is in them.
    TRY(const auto status, proc_.status(member->host_pid));
    if (!status.ns_pgid.empty() && status.ns_pgid.back() == p.pgid()) continue;
    pb::OutlineProcess founder;
    founder.set_pid(p.pgid());
    founder.set_sid(member->session);
    TRY(Blank * helper, clone_from(*member, founder, Memory::kShared));
    auto founded = helper->remote->call(helper->leader(), SYS_setpgid, 0, 0);
    const pid_t host = helper->host_pid;
    Result<void> joined = founded ? Result<void>{} : std::unexpected(founded.error());
    for (const auto& other : state_.processes()) {
      if (joined && other.pgid() == p.pgid() && other.pid() != p.pgid()) joined = join(other, p.pgid());
    }
    led.insert(p.pgid());
    helper->leader().forget();
    std::erase_if(blanks_, [&](const auto& b) { return b->host_pid == host; });
    TRY_DO(end_helper(*member, host));
    TRY_DO(joined);
  }
  return {};
}

Result<void> Restorer::end_zombies() {
  for (const auto& p : state_.processes()) {
    if (p.state() != pb::ZOMBIE) continue;
    Blank* blank = find(p.pid());
    if (blank == nullptr) continue;
    // Its name and status are all that is left of it. A core dump flag can't be had without dumping one.
    std::byte* scratch = blank->remote->local_scratch();
    std::memcpy(scratch, p.comm().c_str(), std::min<size_t>(p.comm().size() + 1, 16));
    (void)blank->remote->call(blank->leader(), SYS_prctl, PR_SET_NAME, raw(blank->remote->scratch()), 0, 0, 0);
    const int status = p.exit_status();
    blank->leader().forget();
    if (WIFSIGNALED(status)) {
      TRY_DO(blank->leader().set_blocked(0));
      put(scratch, rlimit{0, 0});
      (void)blank->remote->call(blank->leader(), SYS_prlimit64, 0, RLIMIT_CORE, raw(blank->remote->scratch()), 0);
      ::kill(blank->host_pid, WTERMSIG(status));
      ::ptrace(PTRACE_CONT, blank->host_pid, nullptr, nullptr);
    } else {
      const uint64_t code[] = {static_cast<uint64_t>(WEXITSTATUS(status))};
      auto regs = blank->leader().regs();
      regs.rip = raw(blank->remote->base());
      regs.orig_rax = ~0ull;
      regs.rax = SYS_exit_group;
      regs.rdi = code[0];
      TRY_DO(blank->leader().set_regs(regs));
      ::ptrace(PTRACE_CONT, blank->host_pid, nullptr, nullptr);
    }
    for (;;) {
      int st = 0;
      const pid_t r = ::waitpid(blank->host_pid, &st, __WALL);
      if (r < 0 && errno == EINTR) continue;
      if (r < 0 || !WIFSTOPPED(st)) break;
      ::ptrace(PTRACE_CONT, blank->host_pid, nullptr,
               reinterpret_cast<void*>(static_cast<uintptr_t>(WSTOPSIG(st) == SIGTRAP ? 0 : WSTOPSIG(st))));
    }
    std::erase_if(blanks_, [&](const auto& b) { return b->pid == p.pid(); });
  }
  return {};
}

// Building the tree made signals (SIGCHLD of helpers and zombies) that the unit never had: taken out before its own go in.
void Restorer::drain_signals(Plan& plan, Blank& blank) {
  const uint64_t all = plan.put(~0ull), no_time = plan.put(timespec{0, 0});
  const auto taken = plan.add(SYS_rt_sigtimedwait, all, 0, no_time, 8);
  plan.then([this, taken, &blank](const Batch& batch) -> Result<void> {
    if (batch.result(taken) <= 0) return {};
    Plan again(*blank.remote, blank.leader());
    drain_signals(again, blank);  // there are 64 at most but for queued ones, and nobody queued any
    return again.run();
  });
}

Result<void> Restorer::queue_signals(Plan& plan, Blank& blank, const pb::Process& process) {
  drain_signals(plan, blank);
  const bool none = process.pending().empty() &&
                    std::ranges::all_of(process.threads(), [](const pb::Thread& t) { return t.pending().empty(); });
  if (none) return {};
  TRY_DO(plan.run());
  std::byte* scratch = blank.remote->local_scratch();
  const uint64_t base = raw(blank.remote->scratch());
  // A process may queue any siginfo to itself (rt_sigqueueinfo(2)), so its own calls do it.
  for (const auto& info : process.pending()) {
    if (info.size() != sizeof(siginfo_t))
      return fail(Code::kCorrupt, "a siginfo of " + std::to_string(info.size()) + " bytes");
    siginfo_t si;
    std::memcpy(&si, info.data(), sizeof si);
    if (si.si_code == SI_TIMER) continue;  // set_timers() makes them
    put(scratch, si);
    TRY_DO(blank.remote->call(blank.leader(), SYS_rt_sigqueueinfo, process.pid(), si.si_signo, base));
  }
  for (int i = 0; i < process.threads_size(); i++) {
    for (const auto& info : process.threads(i).pending()) {
      if (info.size() != sizeof(siginfo_t))
        return fail(Code::kCorrupt, "a siginfo of " + std::to_string(info.size()) + " bytes");
      siginfo_t si;
      std::memcpy(&si, info.data(), sizeof si);
      if (si.si_code == SI_TIMER) continue;
      put(scratch, si);
      TRY_DO(blank.remote->call(blank.threads[static_cast<size_t>(i)], SYS_rt_tgsigqueueinfo, process.pid(),
                                process.threads(i).tid(), si.si_signo, base));
    }
  }
  return {};
}

}  // namespace godwit::pod
