#include "pod/freeze.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <ctime>
#include <ranges>
#include <set>

#include "base/log.h"
#include "pod/kernel_abi.h"
#include "pod/pinning.h"
#include "pod/refusals.h"

namespace godwit::pod {
namespace {

constexpr int kAttempts = 40;
// A thread on its way out may refuse its tracer and still look alive a moment later: what stays is what counts.
constexpr int kAttemptsAtBlocked = 4;
constexpr int kPatienceAtBurialMs = 5000;

void pause_ms(long ms) {
  const timespec t{0, ms * 1'000'000};
  ::nanosleep(&t, nullptr);
}

std::unexpected<Error> has_ended(pid_t pid) {
  return fail(Code::kGone, "process " + std::to_string(pid) + " has ended");
}

// Of a thread that stands and is held: its call as if nobody had interrupted it.
void settle(Tracee& thread, const ProcStatus& status) {
  thread.hide_interruption(status.sig_pending | status.shared_pending);
}

}  // namespace

Result<Frozen> Frozen::freeze(const ProcFs& proc, pid_t root, const FreezeOptions& options,
                              std::vector<engine::Blocker>& blockers) {
  const size_t known = blockers.size();
  std::string blocked_by;
  int times = 0;  // in a row
  for (int attempt = 0;; attempt++) {
    Frozen frozen(proc, options);
    auto done = frozen.try_freeze(root, blockers);
    if (done) return frozen;
    TRY_DO(frozen.thaw());
    const Error& why = done.error();
    bool may_pass = why.code == Code::kRefused;
    if (blockers.size() > known) {
      times = blockers.back().object == blocked_by ? times + 1 : 1;
      blocked_by = blockers.back().object;
      may_pass = times <= kAttemptsAtBlocked;
    } else if (why.code == Code::kGone) {
      // A process that ended while it was being stopped takes what was stopped of it along: the rest is tried again.
      may_pass = !proc.has_ended(root);
    }
    if (!may_pass || attempt == kAttempts) {
      if (why.code == Code::kRefused && blockers.size() == known)
        blockers.push_back(make_blocker("uninterruptible", why.text));
      return std::unexpected(why);
    }
    blockers.resize(known);
    pause_ms(2 + attempt);  // a vfork child execs, a disk answers
  }
}

Frozen::~Frozen() {
  if (auto r = thaw(); !r) log::error("thaw failed: {}", r.error().message());
}

FrozenProcess* Frozen::find(pid_t host_pid) {
  const auto it = std::ranges::find(processes_, host_pid, &FrozenProcess::host_pid);
  return it == processes_.end() ? nullptr : &*it;
}

// The states of its threads: from the looks, where there are any.
Result<void> Frozen::finish_process(size_t index) {
  FrozenProcess& process = processes_[index];
  for (size_t i = 0; i < process.threads.size(); i++) {
    TRY(auto status,
        looks_ ? std::move(looks_->statuses_of(index)[i]) : proc_->status(process.host_pid, process.threads[i].tid()));
    settle(process.threads[i], status);
    process.thread_ids.push_back(status.ns_pid.back());
    process.statuses.push_back(std::move(status));
  }
  if (process.threads.empty()) {
    TRY(auto own, proc_->status(process.host_pid));
    process.statuses.push_back(std::move(own));
  }
  process.pid = process.statuses.front().ns_pid.back();
  return {};
}

Result<void> Frozen::try_freeze(pid_t root, std::vector<engine::Blocker>& blockers) {
  cpu_ = ::sched_getcpu();
  TRY_DO(stop_tree(root, blockers));
  // All that lives stands now. A zombie that was found before its parent stood may have been reaped since.
  std::erase_if(processes_, [&](const FrozenProcess& p) {
    if (!p.zombie) return p.threads.empty();
    const auto stat = proc_->stat(p.host_pid);
    return !stat || stat->state != 'Z';
  });
  if (processes_.empty() || processes_.front().host_pid != root || processes_.front().zombie) return has_ended(root);
  if (options_.looks) begin_looks();
  for (auto& process : processes_) {
    for (auto& thread : process.threads) {
      thread.pin(cpu_);
      TRY_DO(thread.hold());
    }
  }
  for (size_t i = 0; i < processes_.size(); i++) TRY_DO(finish_process(i));
  return {};
}

void Frozen::begin_looks() {
  std::vector<Looks::Subject> subjects;
  for (const auto& p : processes_) {
    auto& subject = subjects.emplace_back(p.zombie ? 0 : p.host_pid);
    subject.only_namespaces = p.host_pid == options_.init;
    for (const auto& thread : p.threads) subject.threads.push_back(thread.tid());
  }
  looks_ = std::make_unique<Looks>(*proc_, std::move(subjects), options_.scan);
}

const Look& Frozen::look(const FrozenProcess& process) {
  if (!looks_) begin_looks();
  return looks_->of(static_cast<size_t>(&process - processes_.data()));
}

std::optional<Result<ScanResult>> Frozen::take_scan(const FrozenProcess& process) {
  // What a thread of it wrote in those steps may have been missed.
  if (!looks_ || !options_.scan || process.stepped) return std::nullopt;
  return std::move(looks_->scan_of(static_cast<size_t>(&process - processes_.data())));
}

Result<Remote*> Frozen::remote(FrozenProcess& process) {
  if (!process.remote) {
    TRY(const auto& maps, look(process).maps);
    auto& leader = process.leader();
    // A thread in the vDSO's code must leave it: at the destination that code may be another kernel's.
    const auto vdso = std::ranges::find(maps, "[vdso]", &MapEntry::name);
    if (vdso != maps.end()) {
      for (auto& thread : process.threads) {
        const auto at = thread.regs().rip;
        TRY_DO(thread.step_out_of(vdso->start, vdso->end));
        process.stepped = process.stepped || thread.regs().rip != at;
      }
    }
    // A filter of the unit's own must not judge our calls (Linux 4.3; needs CAP_SYS_ADMIN; harmless to fail without one).
    for (const auto& thread : process.threads) {
      ::ptrace(PTRACE_SETOPTIONS, thread.tid(), nullptr,
               reinterpret_cast<void*>(ptrace_options() | abi::kPtraceOSuspendSeccomp));
    }
    auto remote = Remote::install(*proc_, leader, maps);
    if (!remote) return std::unexpected(remote.error().in(process.name()));
    process.remote = std::make_unique<Remote>(*remote);
  }
  return process.remote.get();
}

Result<void> Frozen::thaw() {
  if (std::exchange(released_, true) || processes_.empty()) return {};
  Result<void> first;
  const PinnedThread here(cpu_);
  for (auto& process : processes_) {
    if (process.remote && process.leader().seized()) {
      if (auto r = process.remote->remove(process.leader()); !r && first) first = r;
      process.remote.reset();
    }
  }
  // Only a stopped thread can be let go (ptrace(2)). One that hasn't stopped yet waits in the kernel, perhaps for one of the
  // others (vfork(2)), so those go first. A process's first thread comes after its others: see Tracee::bury().
  std::vector<Tracee*> dead_leaders;
  for (const bool stopped : {true, false}) {
    for (auto& process : processes_) {
      for (auto& thread : process.threads | std::views::reverse) {
        if (!thread.seized() || thread.stopped() != stopped) continue;
        Result<void> r = stopped ? Result<void>{} : thread.wait_for_stop(5000);
        // A freeze that was given up (a thread that didn't stop in time) leaves threads that were stopped and not looked at
        // yet: their calls were interrupted all the same, and must not show it.
        if (r && !thread.is_settled()) {
          const auto status = proc_->status(process.host_pid, thread.tid());
          if (!thread.is_held()) r = thread.hold();
          if (r && !status) r = std::unexpected(status.error());
          if (r) settle(thread, *status);
        }
        if (r || r.error().code != Code::kGone) r = thread.release();
        if (r) continue;
        if (r.error().code != Code::kGone) {
          if (first) first = r;
        } else if (thread.tid() == process.host_pid) {
          dead_leaders.push_back(&thread);
        } else {
          thread.bury(kPatienceAtBurialMs);
        }
      }
    }
  }
  for (Tracee* leader : dead_leaders) leader->bury(kPatienceAtBurialMs);
  return first;
}

Result<void> Frozen::hold_memory(pid_t except) {
  Result<void> first;
  for (auto& process : processes_) {
    if (process.zombie || process.host_pid == except) continue;
    for (const auto& thread : process.threads) {
      ::ptrace(PTRACE_SETOPTIONS, thread.tid(), nullptr,
               reinterpret_cast<void*>(ptrace_options() | abi::kPtraceOSuspendSeccomp | PTRACE_O_EXITKILL));
    }
    auto done = [&]() -> Result<void> {
      TRY(Remote * remote, this->remote(process));
      TRY_DO(remote->call(process.leader(), SYS_close_range, 0, ~0u, 0));
      return {};
    }();
    if (!done && first) first = std::unexpected(done.error().in(process.name()));
  }
  return first;
}

Result<void> Frozen::kill_all() {
  if (std::exchange(released_, true)) return {};
  for (const auto& process : processes_) {
    if (!process.zombie) ::kill(process.host_pid, SIGKILL);
  }
  // A traced thread's death must be seen by its tracer; the leader's last (wait(2) waits for the whole group there), and
  // children before parents: the init of a PID namespace only ends when everybody else in it was waited for.
  for (auto process = processes_.rbegin(); process != processes_.rend(); ++process) {
    for (auto it = process->threads.rbegin(); it != process->threads.rend(); ++it) {
      int status = 0;
      while (::waitpid(it->tid(), &status, __WALL) == it->tid() && WIFSTOPPED(status)) {
      }
      it->forget();
    }
  }
  return {};
}

}  // namespace godwit::pod
