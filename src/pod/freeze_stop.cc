// How a tree is stopped: level by level from its root, until a pass finds nobody new. See freeze.h.
#include <signal.h>
#include <sys/ptrace.h>

#include <algorithm>
#include <ranges>

#include "base/crew.h"
#include "pod/freeze.h"
#include "pod/refusals.h"

namespace godwit::pod {
namespace {

std::string describe(pid_t pid, const std::string& comm) { return "pid " + std::to_string(pid) + " (" + comm + ")"; }

}  // namespace

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

// Of some processes whose known threads stand, by two threads where it takes longer than to start one.
Result<std::vector<Frozen::Seen>> Frozen::see(std::span<const pid_t> pids) {
  constexpr size_t kFew = 8;
  std::vector<Seen> seen(pids.size());
  TRY_DO(share_work(pids.size() > kFew ? 2 : 1, pids.size(), [&](unsigned, size_t i) -> Result<void> {
    const FrozenProcess& process = *find(pids[i]);
    seen[i].stat = proc_->stat(pids[i]);
    seen[i].threads = process.threads.size();
    TRY(seen[i].children, children_of(process));
    return {};
  }));
  return seen;
}

// Its threads stand, as far as they are known. True if something new stands now.
Result<bool> Frozen::complete_stop(FrozenProcess& process, Seen& seen, std::vector<engine::Blocker>& blockers) {
  const pid_t pid = process.host_pid;
  bool found = false;
  // Once all that were found stand still, nobody is left who could make another thread: the count tells.
  for (bool first = true;; first = false) {
    auto stat = first ? std::move(seen.stat) : proc_->stat(pid);
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

// Level by level: all of one level are told to stop before the first is waited for, for a stop takes a wake-up, most of it on
// the other processors. No process is told before its parent stands: a child of vfork(2) has to exec first.
Result<void> Frozen::stop_tree(pid_t root, std::vector<engine::Blocker>& blockers) {
  const auto root_stat = proc_->stat(root);
  if (!root_stat && root_stat.error().code == Code::kGone)
    return fail(Code::kGone, "process " + std::to_string(root) + " has ended");
  if (!root_stat) return std::unexpected(root_stat.error());
  for (bool again = true; again;) {
    again = false;
    Level level = {{root, root_stat->ppid}};
    while (!level.empty()) {
      std::vector<pid_t> to_stop;
      for (const auto& [pid, parent] : level) {
        TRY(const bool moves, begin_stop(pid, parent, blockers));
        if (moves) to_stop.push_back(pid);
      }
      for (const pid_t pid : to_stop) {
        TRY(const bool found, stop_threads(*find(pid)));
        again = again || found;
      }
      TRY(auto seen, see(to_stop));
      for (size_t i = 0; i < to_stop.size(); i++) {
        TRY(const bool found, complete_stop(*find(to_stop[i]), seen[i], blockers));
        again = again || found;
      }
      TRY(level, children_of_level(level, to_stop, seen));
    }
  }
  return {};
}

// What was seen of those that were to be stopped holds if no thread was found since.
Result<Frozen::Level> Frozen::children_of_level(const Level& level, std::span<const pid_t> to_stop,
                                                std::span<Seen> seen) {
  Level next;
  for (const auto& [pid, parent] : level) {
    const FrozenProcess& process = *find(pid);
    const auto at = std::ranges::find(to_stop, pid);
    const auto known = at != to_stop.end() ? &seen[static_cast<size_t>(at - to_stop.begin())] : nullptr;
    std::vector<pid_t> children;
    if (known != nullptr && known->threads == process.threads.size()) {
      children = std::move(known->children);
    } else {
      TRY(children, children_of(process));
    }
    for (const pid_t child : children) next.emplace_back(child, pid);
  }
  return next;
}

Result<std::vector<pid_t>> Frozen::children_of(const FrozenProcess& process) const {
  std::vector<pid_t> children;
  for (const auto& thread : process.threads) {
    const auto some = proc_->children(process.host_pid, thread.tid());
    if (!some && some.error().code != Code::kGone) return std::unexpected(some.error());
    if (some) children.insert(children.end(), some->begin(), some->end());
  }
  std::ranges::sort(children);  // as whoever only looks at the tree has them
  return children;
}

}  // namespace godwit::pod
