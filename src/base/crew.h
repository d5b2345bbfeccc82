// Some threads on one list of work.
#pragma once

#include <sched.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"

namespace godwit {

/// Calls work(lane, index) for every index below `count`, on the calling thread (lane 0) and `lanes` - 1 others; stops
/// at the first error and returns it. An index is taken in order, so a lane never waits for another.
template <typename F>
Result<void> share_work(unsigned lanes, size_t count, F work) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  Result<void> outcome;
  const auto run = [&](unsigned lane) {
    for (;;) {
      const size_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= count) return;
      Result<void> done = work(lane, index);
      if (done) continue;
      next.store(count, std::memory_order_relaxed);
      const std::scoped_lock lock(mutex);
      if (outcome) outcome = std::move(done);
      return;
    }
  };
  std::vector<std::jthread> others;
  for (unsigned lane = 1; lane < lanes && lane < count; lane++) {
    others.emplace_back([&run, lane] {
      // An engine pins itself to the CPU of the tasks that it has stopped, and a new thread inherits that.
      cpu_set_t all;
      CPU_ZERO(&all);
      for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) CPU_SET(cpu, &all);
      ::sched_setaffinity(0, sizeof all, &all);
      run(lane);
    });
  }
  run(0);
  others.clear();  // joins
  return outcome;
}

}  // namespace godwit
