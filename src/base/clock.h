// Time: monotonic nanoseconds for durations, a Clock interface where tests inject time.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <utility>

namespace godwit {

using Nanos = std::chrono::nanoseconds;
using Millis = std::chrono::duration<double, std::milli>;

inline Nanos clock_now(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return std::chrono::seconds(t.tv_sec) + Nanos(t.tv_nsec);
}
inline Nanos monotonic_now() { return clock_now(CLOCK_MONOTONIC); }

/// Measures from its making. `lap_ms()` gives the time since the last lap and starts the next.
class Stopwatch {
 public:
  double elapsed_ms() const { return Millis(monotonic_now() - start_).count(); }
  double lap_ms() {
    const Nanos now = monotonic_now();
    const double lap = Millis(now - std::exchange(start_, now)).count();
    return lap;
  }

 private:
  Nanos start_ = monotonic_now();
};

}  // namespace godwit
