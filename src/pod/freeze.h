// Frozen: a process tree whose every thread is stopped under our grip. Its destructor lets everything go on.
//
// The tree is found by walking children from the root until a pass finds nobody new: since everyone found so far is
// stopped, only those not yet found can still fork, so the walk ends. A thread that waits in vfork(2) for its child can't
// be stopped by anybody (the kernel waits there without listening to ptrace): then all are let go for a moment, so that
// the child may exec, and the freeze is tried again.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "pod/looks.h"
#include "pod/proc.h"
#include "pod/remote.h"
#include "pod/tracee.h"

namespace godwit::pod {

struct FrozenProcess {
  pid_t host_pid = 0;  ///< as this process sees it
  pid_t pid = 0;  ///< as the tree itself sees it (innermost namespace)
  pid_t host_parent = 0;
  bool zombie = false;
  std::string comm;
  std::vector<Tracee> threads;  ///< the leader first; none for a zombie
  std::vector<pid_t> thread_ids;  ///< tids in the innermost namespace, same order
  /// Read when all had stopped, so right until they are let go; none of a process that was only looked at.
  std::optional<ProcStat> stat;
  std::vector<ProcStatus> statuses;  ///< one a thread; of a zombie its own
  std::unique_ptr<Remote> remote;  ///< once installed
  bool stepped = false;  ///< a thread of it went on by some instructions since all stood

  Tracee& leader() { return threads.front(); }
  const Tracee& leader() const { return threads.front(); }
  /// "pid 42 (python3)"
  std::string name() const { return "pid " + std::to_string(pid) + " (" + comm + ")"; }
};

struct FreezeOptions {
  /// Of a unit, which ends with its keeper anyway: else what was frozen would run on from wherever the keeper's own calls
  /// left it, until it is killed.
  bool kill_with_tracer = false;
  bool looks = false;  ///< look() will be asked for of every process: begin
  pid_t init = 0;  ///< of a unit: not a part of it, so that only its namespaces are looked at
  Looks::Scan scan;  ///< with the looks; take_scan() will be asked for
};

class Frozen {
 public:
  /// Freezes the tree below and including `root`. What forbids it is put into `blockers` with Code::kRefused.
  static Result<Frozen> freeze(const ProcFs& proc, pid_t root, const FreezeOptions& options,
                               std::vector<engine::Blocker>& blockers);

  Frozen(Frozen&&) = default;
  Frozen& operator=(Frozen&&) = default;
  ~Frozen();

  int cpu() const { return cpu_; }
  std::vector<FrozenProcess>& processes() { return processes_; }
  const std::vector<FrozenProcess>& processes() const { return processes_; }
  FrozenProcess* find(pid_t host_pid);

  /// One of processes(), as it was before anything was done in it.
  const Look& look(const FrozenProcess& process);
  /// Of one of processes(), once, when all calls in it are done. Nothing where there is no FreezeOptions::scan, or where it has to
  /// be made anew.
  std::optional<Result<ScanResult>> take_scan(const FrozenProcess& process);
  /// The trampoline of a process, installed when first asked for.
  Result<Remote*> remote(FrozenProcess& process);
  /// Lets every thread go on, trampolines removed. What was killed meanwhile is waited for, so that its parent hears of it.
  /// Idempotent.
  Result<void> thaw();
  /// Takes all descriptors from every process but `except`, and makes sure that none outlives this process: they hold
  /// nothing but memory from here on, and must be killed in the end. After it thaw() is no longer allowed.
  Result<void> hold_memory(pid_t except);
  /// Kills every process (the root first, so that none can notice), and reaps those that are ours.
  Result<void> kill_all();

 private:
  using Level = std::vector<std::pair<pid_t, pid_t>>;  // processes and their parents
  struct Seen {
    Result<ProcStat> stat;
    std::vector<pid_t> children;
    size_t threads = 0;  // as many as were known
  };
  Frozen(const ProcFs& proc, const FreezeOptions& options) : proc_(&proc), options_(options) {}
  Result<void> try_freeze(pid_t root, std::vector<engine::Blocker>& blockers);
  Result<void> stop_tree(pid_t root, std::vector<engine::Blocker>& blockers);
  Result<bool> begin_stop(pid_t pid, pid_t parent, std::vector<engine::Blocker>& blockers);
  Result<std::vector<Seen>> see(std::span<const pid_t> pids);
  Result<bool> complete_stop(FrozenProcess& process, Seen& seen, std::vector<engine::Blocker>& blockers);
  Result<Level> children_of_level(const Level& level, std::span<const pid_t> to_stop, std::span<Seen> seen);
  Result<std::vector<pid_t>> children_of(const FrozenProcess& process) const;
  Result<void> check_dead_leader(const FrozenProcess& process, std::vector<engine::Blocker>& blockers) const;
  Result<void> seize_threads(FrozenProcess& process, std::span<const pid_t> tids,
                             std::vector<engine::Blocker>& blockers);
  Result<bool> stop_threads(FrozenProcess& process);
  unsigned long ptrace_options() const;
  void begin_looks();
  Result<void> finish_process(size_t index);
  const ProcFs* proc_;
  FreezeOptions options_;
  std::vector<FrozenProcess> processes_;
  std::unique_ptr<Looks> looks_;
  bool released_ = false;
  int cpu_ = -1;  ///< where all of them are pinned, and this thread while it makes calls in them
};

}  // namespace godwit::pod
