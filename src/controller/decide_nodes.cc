// Decisions about what a node says of itself and its units: registration, disowned copies, ended units.
#include <fmt/format.h>

#include "controller/decide.h"
#include "controller/sched_view.h"
#include "controller/token.h"

namespace godwit::controller {
namespace {

/// What a node's claim to a unit is worth.
enum class Claim {
  kOwner,    ///< the store says the same, running or ended
  kOld,      ///< an older incarnation, or one that another node owns: to be destroyed
  kNewer,    ///< newer than the store, and proved by its token: the store lost it in a power cut
  kOpen,     ///< a migration isn't final: its two sides settle it
  kForeign,  ///< the store never heard of it; not ours to destroy
};

Claim judge(const State& state, const std::string& node, const wire::UnitLoad& load) {
  const auto it = state.units.find(load.unit());
  if (it == state.units.end()) return Claim::kForeign;
  const wire::Unit& unit = it->second;
  if (load.epoch() > unit.epoch()) {
    const bool proved = epoch_token_holds(state.secret, load.unit(), load.epoch(), node, load.token());
    return proved ? Claim::kNewer : Claim::kForeign;
  }
  // Also when it has ended: its output is kept here until the unit is removed.
  if (load.epoch() == unit.epoch() && unit.node() == node) return Claim::kOwner;
  if (open_migration(state, unit.id()) != nullptr) return Claim::kOpen;
  return Claim::kOld;
}

wire::Disown disown(const wire::UnitLoad& load) {
  wire::Disown out;
  out.set_unit(load.unit());
  out.set_epoch(load.epoch());
  return out;
}

/// A commit that the file had lost.
void adopt(const State& state, const std::string& node, const wire::UnitLoad& load, RegisterVerdict& verdict) {
  wire::Unit unit = state.units.at(load.unit());
  if (const auto* open = open_migration(state, unit.id());
      open && open->to() == node && open->epoch() + 1 == load.epoch()) {
    wire::Migration done = *open;
    done.set_state(wire::COMMITTED);
    verdict.changes.migrations.push_back(done);
  }
  unit.set_epoch(load.epoch());
  unit.set_node(node);
  unit.set_state(wire::RUNNING);
  verdict.changes.units.push_back(unit);
  verdict.notes.push_back(
      fmt::format("unit {}: epoch {} of node {} was proved and taken over", unit.id(), load.epoch(), node));
}

}  // namespace

bool has_room(const State& state, const std::string& node) {
  const std::string site = pki::split_name(node).site;
  if (site.empty() || state.nodes.contains(node)) return true;
  const std::string begin = site + "/";
  size_t count = 0;
  for (auto it = state.nodes.lower_bound(begin); it != state.nodes.end() && it->first.starts_with(begin); ++it) ++count;
  return count < kMaxNodesOfSite;
}

RegisterVerdict registered(const State& state, const Now& now, const wire::RegisterRequest& request) {
  RegisterVerdict verdict;
  wire::NodeInfo info = request.node();
  const auto known = state.nodes.find(info.name());
  const bool cordoned = known != state.nodes.end() && known->second.state() == wire::CORDONED;
  info.set_state(cordoned ? wire::CORDONED : wire::READY);
  info.set_seen_ms(now.wall_ms);
  if (known != state.nodes.end()) {
    info.set_leaves_ms(known->second.leaves_ms());
    info.set_spot(known->second.spot());
    info.set_notice(known->second.notice());
  }
  verdict.changes.nodes.push_back(info);
  verdict.changes.heard = info.name();

  std::set<std::string> here;
  for (const wire::UnitLoad& load : request.units()) {
    switch (judge(state, info.name(), load)) {
      case Claim::kOwner: {
        here.insert(load.unit());
        const wire::Unit& unit = state.units.at(load.unit());
        if (unit.state() == wire::LOST || unit.state() == wire::STARTING) {
          wire::Unit back = unit;
          back.set_state(wire::RUNNING);
          verdict.changes.units.push_back(back);
        }
        break;
      }
      case Claim::kNewer:
        here.insert(load.unit());
        adopt(state, info.name(), load, verdict);
        break;
      case Claim::kOld: verdict.disown.push_back(disown(load)); break;
      case Claim::kOpen: break;
      case Claim::kForeign:
        verdict.notes.push_back(fmt::format("node {} has unit {} in epoch {}, which isn't in this store; left alone",
                                            info.name(), load.unit(), load.epoch()));
        break;
    }
  }
  for (const auto& r : request.receiving()) here.insert(r.unit());
  const auto heard = state.heard_at.find(info.name());
  const uint64_t known_until = heard == state.heard_at.end() ? 0 : heard->second;
  // What the store believes to run here and doesn't: the machine was started anew.
  for (const auto& [id, unit] : state.units) {
    if (unit.node() != info.name() || unit.state() != wire::RUNNING || here.contains(id)) continue;
    if (open_migration(state, id) != nullptr) continue;
    if (const auto given = state.given.find(id); given != state.given.end() && given->second > known_until) {
      verdict.again = true;
      continue;
    }
    wire::Unit lost = unit;
    lost.set_state(wire::LOST);
    verdict.changes.units.push_back(lost);
    verdict.notes.push_back(fmt::format("unit {} isn't on node {} any more: lost", id, info.name()));
  }
  for (const auto& id : state.uncertain)
    if (state.migrations.contains(id) && state.migrations.at(id).to() == info.name()) verdict.certain.push_back(id);
  return verdict;
}

Changes found_again(const State& state, const std::string& node,
                    const google::protobuf::RepeatedPtrField<wire::UnitLoad>& units) {
  Changes changes;
  for (const wire::UnitLoad& load : units) {
    if (load.state() == wire::EXITED || judge(state, node, load) != Claim::kOwner) continue;
    if (state.units.at(load.unit()).state() != wire::LOST) continue;
    wire::Unit back = state.units.at(load.unit());
    back.set_state(wire::RUNNING);
    changes.units.push_back(back);
  }
  return changes;
}

std::vector<wire::Disown> disowned(const State& state, const std::string& node,
                                   const google::protobuf::RepeatedPtrField<wire::UnitLoad>& units) {
  std::vector<wire::Disown> out;
  for (const wire::UnitLoad& load : units)
    if (judge(state, node, load) == Claim::kOld) out.push_back(disown(load));
  return out;
}

Changes exited(const State& state, const wire::UnitExitedRequest& request) {
  Changes changes;
  const auto it = state.units.find(request.unit());
  if (it == state.units.end()) return changes;
  const wire::Unit& unit = it->second;
  if (unit.epoch() != request.epoch() || unit.node() != request.node() || unit.state() == wire::EXITED) return changes;
  wire::Unit ended = unit;
  ended.set_state(wire::EXITED);
  ended.set_ended_ms(request.time_ms());
  *ended.mutable_exit() = request.exit();
  changes.units.push_back(ended);
  changes.unit_guard = UnitGuard{unit.id(), unit.epoch()};
  // What a program needed is worth knowing for its next run.
  learn(state, ended, changes);
  return changes;
}

}  // namespace godwit::controller
