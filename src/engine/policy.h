// When to stop sending rounds of memory and freeze: to another node or into an image. Pure.
//
// Each round sends what was written during the one before it, so while the link is faster than the unit writes, rounds
// shrink by that ratio. One more is worth it as long as the rest, sent while frozen, would take longer than the goal and
// the last round still shrank; what a round costs the unit is a scan and a fault per page, what it saves is downtime.
#pragma once

#include <cstdint>

namespace godwit::engine {

struct PrecopyGoal {
  double downtime_ms = 0.5;  ///< for the rest of the memory; freezing and restoring come on top
  unsigned max_rounds = 16;
};

class PrecopyPolicy {
 public:
  explicit PrecopyPolicy(PrecopyGoal goal) : goal_(goal) {}
  /// A round was applied at the destination: it sent `bytes` in `ms`. Returns why to stop, or nullptr for another round.
  const char* after_round(uint64_t bytes, double ms);
  [[nodiscard]] unsigned rounds() const { return rounds_; }

 private:
  PrecopyGoal goal_;
  unsigned rounds_ = 0;
  unsigned stuck_ = 0;
  uint64_t last_bytes_ = 0;
  double last_ms_ = 0;
  double rate_ = 0;  // bytes a millisecond, the best round that was long enough to tell
};

}  // namespace godwit::engine
