// From what is known to the ETC matrix. All rules about who may be where are here, as kNever: see sched.h.
#include <algorithm>

#include "sched/sched.h"

namespace godwit::sched {
namespace {

struct EventRow {
  EventKind kind;
  std::string_view word;
  bool extends, shrinks;
};
constexpr EventRow kEvents[] = {
    {EventKind::kLoad, "load", false, false},    {EventKind::kSubmit, "submit", false, false},
    {EventKind::kJoin, "join", true, false},     {EventKind::kLeave, "leave", false, true},
    {EventKind::kVanish, "vanish", false, true}, {EventKind::kDrain, "drain", false, true},
    {EventKind::kSlow, "slow", false, true},     {EventKind::kPressure, "pressure", false, true},
    {EventKind::kSpot, "spot", false, true},
};
const EventRow& row_of(EventKind kind) {
  for (const auto& row : kEvents)
    if (row.kind == kind) return row;
  return kEvents[0];
}

/// The node of the event is about to go: its units must.
bool empties(EventKind kind) {
  return kind == EventKind::kLeave || kind == EventKind::kDrain || kind == EventKind::kSpot;
}

bool excludes(const Unit& unit, const std::string& node) {
  return std::ranges::find(unit.excluded, node) != unit.excluded.end();
}

/// It may go there, whatever room there is.
bool may_go(const Situation& now, const Unit& unit, const Node& node) {
  return node.state == NodeState::kTakes && !unit.pinned && unit.moved_ago >= now.cooldown_s &&
         (unit.arch.empty() || node.arch.empty() || unit.arch == node.arch) && !excludes(unit, node.name);
}

// Next to nothing instead of nothing, which can't be divided by.
constexpr double kLeastCpus = 0.01;

/// A node short of memory must lose units: those that free the most for what their move costs.
void evict(const Situation& now, size_t n, Problem& p) {
  double over = -p.room[n];
  std::vector<size_t> here;
  for (size_t u = 0; u < p.units(); ++u) {
    if (p.at[u] != static_cast<int>(n)) continue;
    over += p.memory[u];
    if (!now.units[u].pinned) here.push_back(u);
  }
  const auto cheapest = [&](size_t u) {
    double least = kNever;
    for (size_t to = 0; to < p.nodes(); ++to)
      if (to != n && p.etc.at(u, to) != kNever) least = std::min(least, p.cost.at(u, to));
    return least == kNever ? kNever : least / std::max(1.0, p.memory[u]);
  };
  std::ranges::stable_sort(here, {}, cheapest);
  for (const size_t u : here) {
    if (over <= 0 || cheapest(u) == kNever) break;
    p.etc.at(u, n) = kNever;
    over -= p.memory[u];
  }
}

}  // namespace

std::string_view event_word(EventKind kind) { return row_of(kind).word; }
bool extends(EventKind kind) { return row_of(kind).extends; }
bool shrinks(EventKind kind) { return row_of(kind).shrinks; }

double alone_s(const Unit& unit, const Node& node) {
  if (!(node.speed > 0)) return kNever;
  const double cpus = std::min(std::max(kLeastCpus, unit.width), std::max(kLeastCpus, node.cpus));
  return std::max(0.0, unit.total - unit.finished) / (node.speed * cpus);
}

Problem make_problem(const Situation& now) {
  const size_t units = now.units.size(), nodes = now.nodes.size();
  Problem p;
  p.event = now.event;
  p.etc = Matrix(units, nodes, kNever);
  p.cost = Matrix(units, nodes);
  for (const Node& node : now.nodes) {
    p.cpus.push_back(std::max(kLeastCpus, node.cpus));
    p.room.push_back(node.memory > 0 ? node.memory * (1 - now.reserve) : kNever);
  }
  std::vector<bool> leaves(nodes);
  for (size_t n = 0; n < nodes; ++n)
    leaves[n] =
        now.nodes[n].state == NodeState::kLeaving || (empties(now.event.kind) && now.event.node == static_cast<int>(n));
  for (size_t u = 0; u < units; ++u) {
    const Unit& unit = now.units[u];
    const bool placed = unit.node != kNowhere && now.nodes[static_cast<size_t>(unit.node)].state != NodeState::kGone;
    const int home = placed ? unit.node : kNowhere;
    p.at.push_back(home);
    p.width.push_back(std::max(kLeastCpus, unit.width));
    p.memory.push_back(unit.memory);
    // One that its node is about to lose may be moved although it was moved a moment ago.
    Unit free = unit;
    if (placed && leaves[static_cast<size_t>(home)]) free.moved_ago = kNever;
    for (size_t n = 0; n < nodes; ++n) {
      const Node& node = now.nodes[n];
      const bool here = home == static_cast<int>(n);
      if (here ? leaves[n] && !unit.pinned : leaves[n] || !may_go(now, free, node)) continue;
      if (node.speed <= 0) continue;
      p.etc.at(u, n) = alone_s(unit, node);
      if (!here && home != kNowhere)
        p.cost.at(u, n) =
            predict(now.cost, unit.memory, unit.dirty_rate, now.links.speed(home, static_cast<int>(n))).lost_s;
    }
  }
  if (now.event.kind == EventKind::kPressure && now.event.node != kNowhere)
    evict(now, static_cast<size_t>(now.event.node), p);
  return p;
}

}  // namespace godwit::sched
