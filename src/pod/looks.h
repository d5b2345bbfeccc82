// Looks: what /proc tells of processes that stand still, read by threads of its own while their tracer makes calls in them.
// Of a freeze of a hundred small processes more than half the time is such reading, and only a process's tracer can do the
// rest. A tracer that has to wait for a look takes the next one meanwhile.
//
// A look is complete before the tracer gets it, and the tracer changes nothing in a process (its trampoline is an area, too)
// before it has the look. The states of all threads come first: the tracer needs them all before it needs the first look. The
// scans of their memory come last: it needs them when it has asked all processes for the rest.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "pod/memory.h"
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

/// Of a process that runs its parts are of different moments. `only_namespaces`: the rest stays empty.
Look look_at(const ProcFs& proc, pid_t pid, bool only_namespaces = false);

class Looks {
 public:
  struct Subject {
    pid_t pid = 0;  ///< 0 is left out
    std::vector<pid_t> threads;
    bool only_namespaces = false;
  };
  /// What memory of a process, at whom this was a look, is to be sent. On any thread.
  using Scan = std::function<Result<ScanResult>(pid_t, const Look&)>;
  /// Begins. `proc` must stay, and what `scan` uses.
  Looks(const ProcFs& proc, std::vector<Subject> subjects, Scan scan = {});
  /// Leaves the rest.
  ~Looks();
  /// Each waits until it is there, and all are for one thread to call.
  const Look& of(size_t index);
  /// Of its threads, in their order; for the caller to keep.
  std::vector<Result<ProcStatus>>& statuses_of(size_t index);
  /// For the caller to keep.
  Result<ScanResult>& scan_of(size_t index);

 private:
  void help();
  void do_item(size_t item);
  void wait_for_item(size_t item);
  [[nodiscard]] size_t items() const { return (scan_ ? 3 : 2) * subjects_.size(); }
  void wait_for_others(size_t item) const;
  const ProcFs& proc_;
  const Scan scan_;
  std::vector<Subject> subjects_;
  std::vector<std::vector<Result<ProcStatus>>> statuses_;
  std::vector<Look> looks_;
  std::vector<Result<ScanResult>> scans_;
  // What is to be done: the statuses of each subject, then a look at each, then a scan of each. Whoever has time takes the next.
  std::atomic<size_t> next_ = 0;
  std::unique_ptr<std::atomic<bool>[]> done_;
  std::vector<std::jthread> helpers_;  // none for a few processes, which are looked at when they are asked for
};

}  // namespace godwit::pod
