// Nodes that will go: a user says so (`godwit node leave`), or the machine itself (its notice, node/notice.h). Pure.
//
// Such a node takes nothing from that moment on, like a drained one, and rescheduling takes its units away by the grid's policy,
// those that must go first, also when automatic rescheduling is off: whoever said that the node goes has asked for it. A notice
// is heeded once: after `godwit uncordon` the same one, which the node goes on repeating, changes nothing.
#pragma once

#include "controller/decide.h"

namespace godwit::controller {

struct LeavePlan {
  Changes changes;
  wire::NodeInfo node;
  std::vector<wire::Unit> units;  ///< that are there
};
Outcome<LeavePlan> plan_leave(const State& state, const Now& now, const wire::LeaveRequest& request);

/// What a heartbeat or a registration says; nothing changes when it is no news. `changes` may have a row of the node already.
Changes heed_notice(const State& state, const Now& now, const std::string& node, const wire::NodeLoad& load);

/// It will go, or should have gone already.
inline bool leaves(const wire::NodeInfo& node) { return node.leaves_ms() != 0; }
/// Units on it that rescheduling may still take away.
bool has_to_lose(const State& state, const std::string& node);

/// It stays after all.
void stay(wire::NodeInfo& node);

}  // namespace godwit::controller
