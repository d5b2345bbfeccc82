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

std::string describe(pid_t pid, const std::string& comm) { return "pid " + std::to_string(pid) + " (" + comm + ")"; }

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

// True if it isn't known to stand: then complete_stop() is to be called.
Result<bool> Frozen::begin_stop(pid_t pid, pid_t parent, std::vector<engine::Blocker>& blockers) {
  FrozenProcess* process = find(pid);
  if (process != nullptr && !process->threads.empty()) {  // it stands still since an earlier pass
    process->host_parent = parent;
    return false;
  }
  if (process == nullptr) {
    processes_.push_back({});
    process = &processes_.back();
    process->host_pid = pid;
  }
  process->host_parent = parent;
  TRY_DO(seize_threads(*process, std::span(&pid, 1), blockers));
  return true;
}

// True if something new stands now.
Result<bool> Frozen::complete_stop(FrozenProcess& process, std::vector<engine::Blocker>& blockers) {
  const pid_t pid = process.host_pid;
  TRY(bool found, stop_threads(process));
  // Once all that were found stand still, nobody is left who could make another thread: the count tells.
  for (;;) {
    auto stat = proc_->stat(pid);
    if (!stat) return stat.error().code == Code::kGone ? Result<bool>(found) : std::unexpected(stat.error());
    process.comm = stat->comm;
    process.stat = std::move(*stat);
    if (process.stat->threads == static_cast<int>(process.threads.size())) break;
    const auto tids = proc_->threads(pid);
    if (!tids) return tids.error().code == Code::kGone ? Result<bool>(found) : std::unexpected(tids.error());
    TRY_DO(seize_threads(process, *tids, blockers));
    TRY(const bool some, stop_threads(process));
    if (!some) break;
    found = true;
  }
  process.zombie = process.stat->state == 'Z' && process.threads.empty();
  TRY_DO(check_dead_leader(process, blockers));
  // One that ended meanwhile: the next pass sees what is left of it, which its parent will wait for.
  return found || (process.stat->state == 'Z' && !process.zombie);
}

// Of a process whose first thread has ended the others may go on as long as they like, or be about to end: exit_group(2) sends
// each of them a SIGKILL.
Result<void> Frozen::check_dead_leader(const FrozenProcess& process, std::vector<engine::Blocker>& blockers) const {
  if (process.stat->state != 'Z' || process.stat->threads <= 1) return {};
  const auto tids = proc_->threads(process.host_pid);
  const bool goes_on =
      tids && std::ranges::any_of(*tids, [&](pid_t tid) {
        const auto status = proc_->status(process.host_pid, tid);
        if (!status || (status->sig_pending & (1ull << (SIGKILL - 1))) != 0) return false;
        const auto stat = proc_->stat(process.host_pid, tid);  // later: a thread that has taken its signal is exiting
        return stat && !stat->exiting && stat->state != 'Z';
      });
  const std::string name = describe(process.host_pid, process.comm);
  if (!goes_on) return fail(Code::kGone, name + " is ending");
  blockers.push_back(make_blocker("dead-leader", name));
  return fail(Code::kRefused, "its first thread has ended");
}

unsigned long Frozen::ptrace_options() const {
  return PTRACE_O_TRACESYSGOOD | (options_.kill_with_tracer ? PTRACE_O_EXITKILL : 0);
}

// Those that aren't seized yet; doesn't wait for them.
Result<void> Frozen::seize_threads(FrozenProcess& process, std::span<const pid_t> tids,
                                   std::vector<engine::Blocker>& blockers) {
  const pid_t pid = process.host_pid;
  for (const pid_t tid : tids) {
    if (std::ranges::any_of(process.threads, [&](const Tracee& t) { return t.tid() == tid; })) continue;
    Tracee thread(tid);
    if (auto r = thread.seize(ptrace_options()); !r) {
      if (r.error().code == Code::kGone) continue;
      auto status = proc_->status(pid, tid);
      if (!status || status->state == 'Z' || status->state == 'X') continue;
      const bool traced = status->tracer != 0;
      const auto stat = proc_->stat(pid);
      const std::string name = describe(pid, stat ? stat->comm : "?");
      const std::string by = "by pid " + std::to_string(status->tracer);
      blockers.push_back(make_blocker(traced ? "ptraced" : "no-permission", name, traced ? by : r.error().message()));
      return fail(Code::kRefused, name + " can't be traced: " + (traced ? "it is, " + by : r.error().message()));
    }
    const auto at = tid == pid ? process.threads.begin() : process.threads.end();  // the leader is the first
    process.threads.insert(at, std::move(thread));
  }
  return {};
}

// Waits for those that were seized; true if one of them stands now.
Result<bool> Frozen::stop_threads(FrozenProcess& process) {
  bool found = false;
  int patience_ms = 40;
  for (auto thread = process.threads.begin(); thread != process.threads.end();) {
    if (thread->stopped()) {
      ++thread;
      continue;
    }
    auto r = thread->wait_for_stop(std::exchange(patience_ms, 10));
    if (r) {
      found = true;
      ++thread;
    } else if (r.error().code == Code::kGone) {
      thread = process.threads.erase(thread);
    } else {
      return std::unexpected(r.error());
    }
  }
  return found;
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
  looks_ = std::make_unique<Looks>(*proc_, std::move(subjects));
}

const Look& Frozen::look(const FrozenProcess& process) {
  if (!looks_) begin_looks();
  return looks_->of(static_cast<size_t>(&process - processes_.data()));
}

// Level by level: all of one level are told to stop before the first is waited for, for a stop takes a wake-up, most of it on
// the other processors. No process is told before its parent stands: a child of vfork(2) has to exec first.
Result<void> Frozen::stop_tree(pid_t root, std::vector<engine::Blocker>& blockers) {
  const auto root_stat = proc_->stat(root);
  if (!root_stat) return root_stat.error().code == Code::kGone ? has_ended(root) : std::unexpected(root_stat.error());
  for (bool again = true; again;) {
    again = false;
    std::vector<std::pair<pid_t, pid_t>> level = {{root, root_stat->ppid}};
    while (!level.empty()) {
      std::vector<pid_t> to_stop;
      for (const auto& [pid, parent] : level) {
        TRY(const bool moves, begin_stop(pid, parent, blockers));
        if (moves) to_stop.push_back(pid);
      }
      for (const pid_t pid : to_stop) {
        TRY(const bool found, complete_stop(*find(pid), blockers));
        again = again || found;
      }
      std::vector<std::pair<pid_t, pid_t>> next;
      for (const auto& [pid, parent] : level) TRY_DO(add_children(*find(pid), next));
      level = std::move(next);
    }
  }
  return {};
}

Result<void> Frozen::add_children(const FrozenProcess& process, std::vector<std::pair<pid_t, pid_t>>& to) const {
  std::vector<pid_t> children;
  for (const auto& thread : process.threads) {
    const auto some = proc_->children(process.host_pid, thread.tid());
    if (!some && some.error().code != Code::kGone) return std::unexpected(some.error());
    if (some) children.insert(children.end(), some->begin(), some->end());
  }
  std::ranges::sort(children);  // as whoever only looks at the tree has them
  for (const pid_t child : children) to.emplace_back(child, process.host_pid);
  return {};
}

Result<Remote*> Frozen::remote(FrozenProcess& process) {
  if (!process.remote) {
    TRY(const auto& maps, look(process).maps);
    auto& leader = process.leader();
    // A thread in the vDSO's code must leave it: at the destination that code may be another kernel's.
    const auto vdso = std::ranges::find(maps, "[vdso]", &MapEntry::name);
    if (vdso != maps.end()) {
      for (auto& thread : process.threads) TRY_DO(thread.step_out_of(vdso->start, vdso->end));
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
