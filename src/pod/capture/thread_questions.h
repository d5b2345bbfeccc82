// What a thread is asked in a remote batch: all that only the thread itself can tell.
#pragma once

#include <signal.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "godwit/pod.pb.h"
#include "pod/kinds.h"
#include "pod/remote.h"
#include "pod/tracee.h"

namespace godwit::pod {

struct SchedAttr {  // sched_getattr(2)
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t util_min, util_max;
};

class ThreadQuestions {
 public:
  /// Lies in the scratch memory.
  struct Answers {
    uint64_t tid_address;
    uint64_t robust_list, robust_list_size;
    stack_t altstack;
    int pdeath_signal;
    SchedAttr sched;
    char comm[16];
  };
  /// Adds the calls; they put their answers to address `at` of the thread.
  ThreadQuestions(Batch& batch, RemoteAddress at);
  /// After the run.
  void put(const Batch& batch, const Answers& answers, const Tracee& thread, pb::Thread& out) const;

 private:
  size_t slack_, securebits_, ioprio_;
  std::array<size_t, 3> speculation_;
};

}  // namespace godwit::pod
