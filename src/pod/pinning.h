// Pinning: the engine and the tasks that it makes calls in on one CPU.
//
// A ptrace round wakes the task and then this thread. On one CPU that is two switches (4 µs); across CPUs each wakes a
// CPU that sleeps, in a virtual machine by an exit to the host (42 to 54 µs, measured). Only for work in small steps: what
// copies memory must be free to go where there is time.
//
// All of it is best effort: a task that can't be pinned (a cpuset, a deadline task) is only slower.
#pragma once

#include <sys/types.h>

#include <string>

namespace godwit::pod {

/// The CPUs a thread may run on, as sched_getaffinity(2) writes them; empty when there is no such thread.
std::string allowed_cpus(pid_t tid);
/// Those of `mask` that there are here, or all if there is none of them.
void allow_cpus(pid_t tid, const std::string& mask);
void keep_on_cpu(pid_t tid, int cpu);

/// The calling thread stays on one CPU until the end of the scope.
class PinnedThread {
 public:
  /// On `cpu`, or where it is now.
  explicit PinnedThread(int cpu = -1);
  ~PinnedThread();
  PinnedThread(const PinnedThread&) = delete;
  int cpu() const { return cpu_; }

 private:
  int cpu_;
  std::string before_;
};

}  // namespace godwit::pod
