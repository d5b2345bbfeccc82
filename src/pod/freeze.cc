#include "pod/freeze.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "base/log.h"
#include "pod/kernel_abi.h"
#include "pod/refusals.h"

namespace godwit::pod {
namespace {

constexpr int kAttempts = 40;
// A thread on its way out may refuse its tracer and still look alive a moment later: what stays is what counts.
constexpr int kAttemptsAtBlocked = 4;

void pause_ms(long ms) {
  const timespec t{0, ms * 1'000'000};
  ::nanosleep(&t, nullptr);
}

std::string describe(pid_t pid, const std::string& comm) { return "pid " + std::to_string(pid) + " (" + comm + ")"; }

}  // namespace

Result<Frozen> Frozen::freeze(const ProcFs& proc, pid_t root, const FreezeOptions& options,
                              std::vector<engine::Blocker>& blockers) {
  const size_t known = blockers.size();
  for (int attempt = 0;; attempt++) {
    Frozen frozen(proc);
    auto done = frozen.try_freeze(root, options, blockers);
    if (done) return frozen;
    TRY_DO(frozen.thaw());
    if (attempt < kAttemptsAtBlocked) blockers.resize(known);
    const bool again = done.error().code == Code::kRefused && blockers.size() == known && attempt < kAttempts;
    if (!again) {
      if (done.error().code == Code::kRefused && blockers.size() == known) {
        blockers.push_back(make_blocker("uninterruptible", done.error().text));
      }
      return std::unexpected(done.error());
    }
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

Result<bool> Frozen::seize_process(pid_t pid, pid_t parent, const FreezeOptions& options,
                                   std::vector<engine::Blocker>& blockers) {
  auto stat = proc_->stat(pid);
  if (!stat) return stat.error().code == Code::kGone ? Result<bool>(false) : std::unexpected(stat.error());
  FrozenProcess* process = find(pid);
  if (process == nullptr) {
    processes_.push_back({});
    process = &processes_.back();
    process->host_pid = pid;
    process->host_parent = parent;
    process->comm = stat->comm;
  }
  if (stat->state == 'Z') {
    process->zombie = process->threads.empty();
    TRY(const auto tids, proc_->threads(pid));
    if (tids.size() > 1) {
      blockers.push_back(make_blocker("dead-leader", describe(pid, stat->comm)));
      return fail(Code::kRefused, "its first thread has ended");
    }
    return false;
  }
  unsigned long ptrace_options = PTRACE_O_TRACESYSGOOD;
  if (options.kill_with_tracer) ptrace_options |= PTRACE_O_EXITKILL;
  auto tids = proc_->threads(pid);
  if (!tids) return tids.error().code == Code::kGone ? Result<bool>(false) : std::unexpected(tids.error());
  std::ranges::stable_partition(*tids, [&](pid_t t) { return t == pid; });
  bool found = false;
  const size_t first_new = process->threads.size();
  for (const pid_t tid : *tids) {
    if (std::ranges::any_of(process->threads, [&](const Tracee& t) { return t.tid() == tid; })) continue;
    Tracee thread(tid);
    if (auto r = thread.seize(ptrace_options); !r) {
      if (r.error().code == Code::kGone) continue;
      auto status = proc_->status(pid, tid);
      if (!status || status->state == 'Z' || status->state == 'X') continue;
      const bool traced = status->tracer != 0;
      blockers.push_back(make_blocker(traced ? "ptraced" : "no-permission", describe(pid, stat->comm),
                                      traced ? "by pid " + std::to_string(status->tracer) : r.error().message()));
      return fail(Code::kRefused,
                  describe(pid, stat->comm) + " can't be traced: " +
                      (traced ? "pid " + std::to_string(status->tracer) + " does" : r.error().message()));
    }
    process->threads.push_back(std::move(thread));
    found = true;
  }
  for (size_t i = first_new; i < process->threads.size();) {
    auto r = process->threads[i].wait_for_stop(i == first_new ? 40 : 10);
    if (r) {
      i++;
    } else if (r.error().code == Code::kGone) {
      process->threads.erase(process->threads.begin() + static_cast<ptrdiff_t>(i));
    } else {
      return std::unexpected(r.error());
    }
  }
  return found;
}

Result<void> Frozen::finish_process(FrozenProcess& process) {
  TRY(const auto status, proc_->status(process.host_pid));
  process.pid = status.ns_pid.back();
  for (auto& thread : process.threads) {
    TRY_DO(thread.hold());
    if (thread.tid() == process.host_pid) {
      thread.hide_interruption(status.sig_pending | status.shared_pending);
      process.thread_ids.push_back(process.pid);
    } else {
      TRY(const auto s, proc_->status(process.host_pid, thread.tid()));
      thread.hide_interruption(s.sig_pending | s.shared_pending);
      process.thread_ids.push_back(s.ns_pid.back());
    }
  }
  return {};
}

Result<void> Frozen::try_freeze(pid_t root, const FreezeOptions& options, std::vector<engine::Blocker>& blockers) {
  TRY(const auto root_stat, proc_->stat(root));
  for (bool again = true; again;) {
    again = false;
    std::vector<std::pair<pid_t, pid_t>> todo = {{root, root_stat.ppid}};
    while (!todo.empty()) {
      const auto [pid, parent] = todo.back();
      todo.pop_back();
      TRY(const bool found, seize_process(pid, parent, options, blockers));
      again = again || found;
      auto children = proc_->children(pid);
      if (!children) {
        if (children.error().code == Code::kGone) continue;
        return std::unexpected(children.error());
      }
      for (const pid_t child : *children) todo.emplace_back(child, pid);
    }
  }
  std::erase_if(processes_, [](const FrozenProcess& p) { return p.threads.empty() && !p.zombie; });
  if (processes_.empty() || processes_.front().host_pid != root) {
    return fail(Code::kGone, "pid " + std::to_string(root) + " ended");
  }
  // A process may have been re-parented between two passes: the last word is what the kernel says now.
  for (auto& process : processes_) {
    TRY(const auto stat, proc_->stat(process.host_pid));
    process.host_parent = stat.ppid;
    process.comm = stat.comm;
    TRY_DO(finish_process(process));
  }
  std::ranges::stable_sort(processes_, {}, [&](const FrozenProcess& p) { return p.host_pid == root ? 0 : 1; });
  return {};
}

Result<Remote*> Frozen::remote(FrozenProcess& process) {
  if (!process.remote) {
    if (process.maps.empty()) {
      TRY(process.maps, proc_->maps(process.host_pid));
    }
    auto& leader = process.leader();
    // A thread in the vDSO's code must leave it: at the destination that code may be another kernel's.
    const auto vdso = std::ranges::find(process.maps, "[vdso]", &MapEntry::name);
    if (vdso != process.maps.end()) {
      for (auto& thread : process.threads) TRY_DO(thread.step_out_of(vdso->start, vdso->end));
    }
    // A filter of the unit's own must not judge our calls (Linux 4.3; needs CAP_SYS_ADMIN; harmless to fail without one).
    for (const auto& thread : process.threads) {
      ::ptrace(PTRACE_SETOPTIONS, thread.tid(), nullptr,
               reinterpret_cast<void*>(PTRACE_O_TRACESYSGOOD | abi::kPtraceOSuspendSeccomp));
    }
    auto remote = Remote::install(*proc_, leader, process.maps);
    if (!remote) return std::unexpected(remote.error().in(process.name()));
    process.remote = std::make_unique<Remote>(std::move(*remote));
  }
  return process.remote.get();
}

// A freeze that was given up (a thread that didn't stop in time) leaves threads that were stopped and not looked at yet: their
// calls were interrupted all the same, and must not show it.
Result<void> Frozen::settle(const FrozenProcess& process, Tracee& thread) {
  if (thread.is_held()) return {};
  TRY_DO(thread.hold());
  TRY(const auto status, proc_->status(process.host_pid, thread.tid()));
  thread.hide_interruption(status.sig_pending | status.shared_pending);
  return {};
}

Result<void> Frozen::thaw() {
  if (std::exchange(released_, true)) return {};
  Result<void> first;
  for (auto& process : processes_) {
    if (process.remote && process.leader().seized()) {
      if (auto r = process.remote->remove(process.leader()); !r && first) first = r;
      process.remote.reset();
    }
  }
  // Only a stopped thread can be let go (ptrace(2)). One that hasn't stopped yet waits in the kernel, perhaps for one of the
  // others (vfork(2)), so those go first.
  for (const bool stopped : {true, false}) {
    for (auto& process : processes_) {
      for (auto& thread : process.threads) {
        if (!thread.seized() || thread.stopped() != stopped) continue;
        Result<void> r = stopped ? Result<void>{} : thread.wait_for_stop(5000);
        if (r) r = settle(process, thread);
        if (r || r.error().code != Code::kGone) r = thread.release();
        if (!r && r.error().code != Code::kGone && first) first = r;
      }
    }
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
