// Random situations for property tests and benchmarks: a few of everything that a rule of make_problem() is about.
#pragma once

#include "sched/random.h"
#include "sched/sched.h"

namespace godwit::sched {

struct GridShape {
  size_t units = 12;
  size_t nodes = 4;
  bool rules = true;  ///< pins, exclusions, architectures, short memory, nodes that take nothing
};

inline Situation random_grid(uint64_t seed, const GridShape& shape) {
  Random r(seed);
  Situation now;
  for (size_t n = 0; n < shape.nodes; ++n) {
    Node node{"n" + std::to_string(n)};
    node.speed = r.uniform(0.5, 4);
    node.cpus = static_cast<double>(1 + r.below(4));
    if (shape.rules) {
      node.memory = r.chance(0.5) ? r.uniform(2e9, 8e9) : 0;
      node.arch = r.chance(0.8) ? "x86_64" : "aarch64";
      if (r.chance(0.1)) node.state = NodeState::kKeeps;
    }
    now.nodes.push_back(node);
  }
  for (size_t u = 0; u < shape.units; ++u) {
    Unit unit{"u" + std::to_string(u)};
    unit.node = static_cast<int>(r.below(shape.nodes));
    unit.total = r.uniform(10, 2000);
    unit.finished = unit.total * r.uniform(0, 0.9);
    unit.memory = r.uniform(1e7, 1e9);
    unit.dirty_rate = r.uniform(0, 5e7);
    if (shape.rules) {
      unit.arch = r.chance(0.7) ? now.nodes[static_cast<size_t>(unit.node)].arch : "";
      unit.width = r.chance(0.8) ? 1 : 2;
      unit.pinned = r.chance(0.1);
      if (r.chance(0.2)) unit.excluded.push_back("n" + std::to_string(r.below(shape.nodes)));
      if (r.chance(0.1)) unit.moved_ago = 5;
    }
    now.units.push_back(unit);
  }
  constexpr EventKind kKinds[] = {EventKind::kLoad,  EventKind::kJoin, EventKind::kLeave,
                                  EventKind::kDrain, EventKind::kSpot, EventKind::kPressure};
  now.event = {kKinds[r.below(6)], static_cast<int>(r.below(shape.nodes))};
  return now;
}

}  // namespace godwit::sched
