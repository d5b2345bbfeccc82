// Processes in other namespaces, started so that they are nobody's child and their PID here is known.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::node {

/// A process that may have ended, and whose number may have been given to another since: PID and start time.
struct ProcessRef {
  pid_t pid = 0;
  uint64_t start = 0;  ///< clock ticks since boot, /proc/PID/stat field 22
  bool operator==(const ProcessRef&) const = default;
};
/// Its present identity; Code::kGone when there is none.
Result<ProcessRef> identify(pid_t pid);
/// Whether that very process still runs (a zombie does not).
bool alive(const ProcessRef& process);
/// A pidfd of that very process; Code::kGone when it has ended.
Result<Fd> open_process(const ProcessRef& process);
/// SIGKILLs it and returns when it is gone. One that is gone already is no error.
Result<void> kill_and_wait(const ProcessRef& process);

struct SpawnPlan {
  const ProcessRef* enter_of = nullptr;  ///< whose namespaces to enter; null: none
  int enter = 0;                         ///< which: CLONE_NEW…
  int make = 0;                          ///< which to make anew after that
  bool map_user = false;  ///< with CLONE_NEWUSER in `make`: this user becomes 0 in it, and is the only one
  std::vector<int> keep;  ///< descriptors that stay open beside 0, 1, 2
  std::string log;  ///< where 1 and 2 go, appended; empty: /dev/null
  /// Runs in the new process, in a session of its own; `outer_pid` is its PID as its starter sees it. Its result is the
  /// exit status.
  std::function<int(pid_t outer_pid)> main;
};
/// Starts it. It is adopted by the init of the PID namespace that it is in.
Result<ProcessRef> spawn(const SpawnPlan& plan);

/// Runs a program in namespaces of `enter_of` and waits for it; `input` is its standard input. A non-zero exit is an
/// Error with what it wrote to standard error.
Result<void> run_in(const ProcessRef& enter_of, int enter, const std::vector<std::string>& argv,
                    const std::string& input);

}  // namespace godwit::node
