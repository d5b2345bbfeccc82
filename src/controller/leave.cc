#include "controller/leave.h"

#include <fmt/format.h>

namespace godwit::controller {
namespace {

/// From now on it takes nothing, and is to be empty by then.
void set_leaving(wire::NodeInfo& node, const Now& now, double seconds, bool spot) {
  node.set_state(wire::CORDONED);
  node.set_leaves_ms(now.wall_ms + static_cast<int64_t>(seconds * 1000));
  node.set_spot(spot);
}

}  // namespace

Outcome<LeavePlan> plan_leave(const State& state, const Now& now, const wire::LeaveRequest& request) {
  TRY(wire::NodeInfo node, find_node(state, request.node()));
  if (!(request.seconds() >= 0) || request.seconds() > rpc::kLongestNotice)
    return failure(Code::kUsage, fmt::format("a node leaves in 0 to {:.0f} seconds", rpc::kLongestNotice));
  if (is_gone(state, now, node.name()))
    return failure(Code::kRefused, fmt::format("node {} doesn't answer; see: godwit nodes", node.name()));
  LeavePlan plan;
  set_leaving(node, now, request.seconds(), false);
  for (const auto& [id, unit] : state.units)
    if (unit.node() == node.name() && is_live(unit)) plan.units.push_back(view(state, now, unit));
  plan.changes.nodes.push_back(node);
  plan.node = node;
  return plan;
}

Changes heed_notice(const State& state, const Now& now, const std::string& node, const wire::NodeLoad& load) {
  Changes changes;
  const auto it = state.nodes.find(node);
  if (it == state.nodes.end() || !load.has_notice() || load.notice().id() == it->second.notice()) return changes;
  const double seconds = load.notice().seconds();
  wire::NodeInfo info = it->second;
  info.set_notice(load.notice().id());
  // A user's word that is sooner than the machine's holds.
  const bool sooner = leaves(info) && static_cast<double>(info.leaves_ms() - now.wall_ms) < seconds * 1000;
  if (!sooner) set_leaving(info, now, seconds > 0 && seconds < rpc::kLongestNotice ? seconds : 0, true);
  changes.nodes.push_back(info);
  return changes;
}

bool has_to_lose(const State& state, const std::string& node) {
  for (const auto& [id, unit] : state.units)
    if (unit.node() == node && unit.state() == wire::RUNNING && !unit.spec().pinned() &&
        open_migration(state, id) == nullptr)
      return true;
  return false;
}

void stay(wire::NodeInfo& node) {
  node.set_state(wire::READY);
  node.clear_leaves_ms();
  node.clear_spot();
}

}  // namespace godwit::controller
