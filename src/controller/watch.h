// Watch: what happened to the grid that a decision is due for. Pure: from what was seen before and what is now.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "controller/sched_view.h"

namespace godwit::controller {

struct Watch {
  struct Node {
    wire::NodeState state = wire::NODE_UNKNOWN;
    bool short_of_memory = false;
    int64_t pressed_ms = 0;  ///< when its shortage was last told of, monotonic; 0: this one wasn't
    int64_t leaves_ms = 0;    ///< as it was seen
    int64_t emptied_ms = 0;   ///< when its units were last to be taken away, monotonic
  };
  std::map<std::string, Node> nodes;
  int64_t looked_ms = 0;  ///< when a decision was last due for whatever reason
  bool began = false;     ///< the first look only remembers
};

/// The most pressing of what happened since the last look: a node about to go, then pressure, then a node gone, then one come, then
/// the load (the policy's setting look_s). A node that goes is told of at the next look, so that those which go together are decided
/// about together, and again every kEmptyMs while it has units: some may have been refused, or have had no room. Pressure is told of
/// again every kAgainMs while it lasts, each node's for itself. One that is drained is none: who drains it moves its units
/// (service_moves.cc). `watch` is what to remember.
inline constexpr int64_t kAgainMs = 30'000, kEmptyMs = 3'000;
std::optional<SchedEvent> next_event(const State& state, const Now& now, Watch& watch);

}  // namespace godwit::controller
