// Looks: what /proc tells of processes that stand still, read by a thread of its own while their tracer makes calls in them.
// Of a freeze of a hundred small processes about half the time is such reading, and only a process's tracer can do the rest.
//
// A look is complete before the tracer gets it, and the tracer changes nothing in a process (its trampoline is an area, too)
// before it has the look.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "pod/proc.h"

namespace godwit::pod {

/// The files of /proc/PID/ns that a tree must agree in.
inline constexpr std::array<std::string_view, 8> kNamespaces = {"pid", "mnt",  "ipc",    "uts",
                                                                "net", "user", "cgroup", "time"};

struct Look {
  Result<std::vector<MapEntry>> maps;
  Result<std::vector<int>> descriptors;  ///< ascending
  Result<std::string> exe, cwd, root, oom_score_adj;
  Result<std::string> auxv;  ///< as the bytes of the vector
  Result<std::string> timers;  ///< proc_pid_timers(5); fails where the kernel was built without it
  std::array<Result<std::string>, kNamespaces.size()> namespaces;
};

/// Of a process that runs its parts are of different moments.
Look look_at(const ProcFs& proc, pid_t pid);

class Looks {
 public:
  /// Begins. `proc` must stay; a pid of 0 is left out.
  Looks(const ProcFs& proc, std::vector<pid_t> pids);
  /// Waits until it is there. By one thread.
  const Look& of(size_t index);

 private:
  void run();
  const ProcFs& proc_;
  std::vector<pid_t> pids_;
  std::vector<Look> looks_;
  std::atomic<size_t> done_ = 0;
  std::jthread thread_;  // none for a few processes, which are looked at when they are asked for
};

}  // namespace godwit::pod
