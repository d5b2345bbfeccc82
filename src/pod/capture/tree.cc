// The tree: which processes there are, whose children they are, what clone(2) made two of them share, and whether all live in
// namespaces and sessions that can be made again.
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>

#include "pod/capture/capture.h"
#include "pod/kinds/tty.h"

namespace godwit::pod {

Result<std::vector<FrozenProcess>> look_at_tree(const ProcFs& proc, pid_t root) {
  const auto ended = [&] { return fail(Code::kGone, "process " + std::to_string(root) + " has ended, or never was"); };
  if (proc.has_ended(root)) return ended();
  // Level by level, as a freeze finds them: an outline that lists them in another order is another one.
  std::vector<FrozenProcess> list;
  std::vector<pid_t> found = {root};
  for (size_t next = 0; next < found.size(); next++) {
    const pid_t pid = found[next];
    // Seen before it got another parent.
    if (std::ranges::find(list, pid, &FrozenProcess::host_pid) != list.end()) continue;
    auto stat = proc.stat(pid);
    auto status = proc.status(pid);
    if (!stat || !status) {
      const Error error = !stat ? stat.error() : status.error();
      if (error.code != Code::kGone) return std::unexpected(error);
      if (pid == root) return ended();
      continue;
    }
    FrozenProcess p;
    p.host_pid = pid;
    p.pid = status->ns_pid.back();
    p.host_parent = stat->ppid;
    p.comm = stat->comm;
    p.zombie = stat->state == 'Z' || stat->exiting;
    list.push_back(std::move(p));
    if (auto children = proc.children(pid)) {
      std::ranges::sort(*children);
      found.insert(found.end(), children->begin(), children->end());
    }
  }
  return list;
}

void Capture::check_process(const FrozenProcess& process, const ProcStatus& status) {
  if (process.zombie && status.threads > 1) refuse("dead-leader", process.name(), {});
  if (inspecting() && status.tracer != 0) refuse("ptraced", process.name(), "by pid " + std::to_string(status.tracer));
}

// A tree that isn't a unit must live in the caller's namespaces.
Result<void> Capture::check_caller() {
  const FrozenProcess& root = processes_.front();
  if (options_.own_pid_namespace || root.zombie) return {};
  for (size_t i = 0; i < kNamespaces.size(); i++) {
    TRY(const auto own, proc_.link(::getpid(), "ns/" + std::string(kNamespaces[i])));
    TRY(const auto& wanted, look(root).namespaces[i]);
    if (own != wanted && kNamespaces[i] != "cgroup")
      refuse("foreign-namespace", root.name(), std::string(kNamespaces[i]) + " namespace");
  }
  return {};
}

// Everybody must live in the root's.
void Capture::check_namespaces(const FrozenProcess& process) {
  const FrozenProcess& root = processes_.front();
  if (root.zombie || process.host_pid == root.host_pid) return;
  for (size_t i = 0; i < kNamespaces.size(); i++) {
    const auto& have = look(process).namespaces[i];
    const auto& wanted = look(root).namespaces[i];
    if (have && wanted && *have != *wanted)
      refuse("nested-namespace", process.name(), std::string(kNamespaces[i]) + " namespace");
  }
}

// Terminals must be known before processes are made: only a fork hands a controlling terminal on.
void Capture::capture_terminals() {
  std::optional<std::set<uint32_t>> held;
  for (auto& out : *state_.mutable_processes()) {
    if (out.sid() != out.pid() || out.is_init() || out.state() == pb::ZOMBIE) continue;
    const auto host = host_pid(out.pid());
    const auto stat = host ? stat_of(*process_of(*host)) : Result<ProcStat>(std::unexpected(host.error()));
    const auto index = stat ? pty_index(stat->terminal) : std::nullopt;
    if (!index) continue;
    if (!held) held = held_terminals(proc_.dir(), processes());
    if (held->contains(*index)) out.set_terminal(*index + 1);
  }
}

// Two processes with one memory. A process that is exiting has none any more, and kcmp would call any two of those equal;
// a vfork(2) child has its parent's until it execs, which the freeze waits for (the parent can't be stopped before).
bool Capture::is_memory_shared(const FrozenProcess& a, const FrozenProcess& b) const {
  if (!memories_.same(a.host_pid, b.host_pid)) return false;
  const auto size = proc_.read(a.host_pid, "statm");
  if (!size || size->starts_with("0 ")) return false;
  if (!inspecting()) return true;
  for (const auto& p : {a.host_pid, b.host_pid}) {
    const auto stat = proc_.stat(p);
    if (!stat || stat->state == 'D' || stat->state == 'Z' || stat->state == 'X') return false;
  }
  return true;
}

void Capture::find_shared(const FrozenProcess& process, pb::Process& out) {
  // Processes that are on their way out have no memory and no table, and in that they are all the same.
  const auto ending = [&] {
    if (!inspecting()) return false;
    const auto now = proc_.stat(process.host_pid);
    return !now || now->exiting || now->state == 'Z';
  };
  const auto alone = [&](const KcmpGroups& groups) { return groups.is_alone(process.host_pid); };
  if (alone(memories_) && alone(tables_) && alone(directories_)) return;
  bool with_sibling = false;
  for (const auto& other : processes_) {
    if (other.host_pid == process.host_pid || other.zombie) continue;
    // Shared by clone(2) alone, so nearly always with the parent.
    const bool parent = other.host_pid == process.host_parent;
    if (!parent && other.host_parent != process.host_parent) continue;
    if (is_memory_shared(process, other) && !ending())
      refuse("shared-memory-map", process.name(), "with " + other.name());
    if (tables_.same(process.host_pid, other.host_pid)) {
      if (parent)
        out.set_shares_files_with(other.pid);
      else if (other.pid < process.pid)
        with_sibling = true;
    }
    if (parent && directories_.same(process.host_pid, other.host_pid)) out.set_shares_fs_with(other.pid);
  }
  if (with_sibling && out.shares_files_with() == 0 && !ending()) refuse("shared-descriptor-table", process.name(), {});
}

Result<void> Capture::capture_tree() {
  state_.set_version(1);
  state_.set_own_pid_namespace(options_.own_pid_namespace);
  if (options_.known_spaces != nullptr) {
    for (const auto& [pid, id] : *options_.known_spaces) next_space_ = std::max(next_space_, id + 1);
  }
  if (options_.known_shared != nullptr) {
    next_space_ = std::max(next_space_, options_.known_shared->next);
    for (const auto& [key, id] : options_.known_shared->ids) next_space_ = std::max(next_space_, id + 1);
  }
  // The clocks: of a process of the tree that isn't its init (init may have been made before the time namespace counted).
  TRY(*state_.mutable_host(), host_facts(proc_, processes_.back().host_pid));
  for (const auto& process : processes_) {
    if (process.zombie) continue;
    for (auto* groups : {&memories_, &tables_, &directories_}) groups->add(process.host_pid);
  }
  for (auto& process : processes_) {
    auto status = status_of(process);
    auto stat = stat_of(process);
    if (!status || !stat) {
      if (inspecting()) continue;
      return std::unexpected(!status ? status.error() : stat.error());
    }
    auto& out = *state_.add_processes();
    out.set_pid(process.pid);
    if (const auto* parent = process_of(process.host_parent)) out.set_ppid(parent->pid);
    out.set_pgid(status->ns_pgid.back());
    out.set_sid(status->ns_sid.back());
    out.set_exit_signal(stat->exit_signal);
    out.set_is_init(process.host_pid == options_.init_host_pid);
    if (process.zombie) {
      out.set_state(pb::ZOMBIE);
      out.set_exit_status(stat->exit_code);
      out.set_comm(process.comm);
    } else if (!process.threads.empty() && process.leader().group_stop_signal() != 0) {
      out.set_state(pb::STOPPED);
      out.set_stop_signal(process.leader().group_stop_signal());
      // fs/proc/array.c shows the group's exit code while it is stopped; waitid(2) takes it away when it reports the stop.
      out.set_stop_reported(stat->exit_code == 0);
    }
    check_process(process, *status);
    if (!process.zombie && !out.is_init()) find_shared(process, out);
  }
  TRY_DO(sort_processes());
  capture_terminals();
  return {};
}

// Parents before children, the root first: what the restore relies on.
Result<void> Capture::sort_processes() {
  std::vector<pb::Process> sorted;
  std::vector<pid_t> done;
  auto& list = *state_.mutable_processes();
  while (!list.empty()) {
    const auto ready = std::ranges::find_if(
        list, [&](const pb::Process& p) { return p.ppid() == 0 || std::ranges::find(done, p.ppid()) != done.end(); });
    if (ready == list.end()) {
      if (inspecting()) break;  // a parent ended between two looks: the next look finds the children elsewhere
      return fail(Code::kFailed, "the process tree changed while it was read");
    }
    done.push_back(ready->pid());
    sorted.push_back(std::move(*ready));
    list.erase(ready);
  }
  list.Clear();
  for (auto& p : sorted) *list.Add() = std::move(p);
  return {};
}

}  // namespace godwit::pod
