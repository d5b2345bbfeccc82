// Weighted: a Problem as a policy sees it, with penalties; Loads: a mapping under construction, and what it comes to.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "sched/sched.h"

namespace godwit::sched {

/// The penalty that this event charges, as a part of a unit's remaining time.
double penalty_of(const Settings& settings, EventKind kind);

struct Weighted {
  const Problem& problem;
  const Settings& settings;
  double penalty = 0;
  std::vector<double> charge;  ///< by unit: what any move of it costs beyond its cost, in seconds

  Weighted(const Problem& p, const Settings& s);
  [[nodiscard]] size_t units() const { return problem.units(); }
  [[nodiscard]] size_t nodes() const { return problem.nodes(); }
  /// ETC with the cost of the move and its penalty; kNever where it may not be.
  [[nodiscard]] double at(size_t u, size_t n) const {
    const double time = problem.etc.at(u, n) + problem.cost.at(u, n);
    return problem.at[u] == static_cast<int>(n) ? time : time + charge[u];
  }
  /// CPUs that it uses there.
  [[nodiscard]] double width(size_t u, size_t n) const { return std::min(problem.width[u], problem.cpus[n]); }
};

struct Best {
  int node = kNowhere;
  double completion = kNever;
};

class Loads {
 public:
  explicit Loads(const Weighted& view);
  Loads(const Weighted& view, const Mapping& mapping);

  [[nodiscard]] bool fits(size_t u, size_t n) const {
    return view_->at(u, n) != kNever && memory_[n] + view_->problem.memory[u] <= view_->problem.room[n];
  }
  /// When u would be done there, beside those that are there; kNever when it doesn't fit.
  [[nodiscard]] double completion(size_t u, size_t n) const {
    const double e = view_->at(u, n);
    if (e == kNever || memory_[n] + view_->problem.memory[u] > view_->problem.room[n]) return kNever;
    return std::max(e, (busy_[n] + e * view_->width(u, n)) * per_cpu_[n]);
  }
  /// Where u is done soonest, at home when that is as good; kNowhere when it fits nowhere.
  [[nodiscard]] Best soonest(size_t u) const;
  void add(size_t u, size_t n);
  void remove(size_t u);
  [[nodiscard]] int where(size_t u) const { return mapping_[u]; }
  [[nodiscard]] const Mapping& mapping() const { return mapping_; }
  [[nodiscard]] const std::vector<size_t>& units_on(size_t n) const { return on_[n]; }
  [[nodiscard]] double finish(size_t n) const { return finish_[n]; }
  [[nodiscard]] double makespan() const;
  /// Sum over the units of their times to completion.
  [[nodiscard]] double flow_sum() const { return flow_sum_; }
  [[nodiscard]] Objective objective() const;
  [[nodiscard]] double value() const { return objective().value(view_->settings.flow_weight); }
  /// The share of a CPU's time that the units of n lack: 1 when each has what it can use.
  [[nodiscard]] double crowding(size_t n) const { return std::max(1.0, width_[n] / view_->problem.cpus[n]); }
  /// The objective, and the flow's sum, if u were at n instead. Nothing is changed.
  struct If {
    double value = kNever;
    double makespan = kNever;
    double flow_sum = kNever;
  };
  [[nodiscard]] If moved(size_t u, size_t n) const;

 private:
  struct Node {
    double busy = 0, longest = 0, sum = 0, width = 0;
  };
  [[nodiscard]] Node with(size_t n, size_t u) const;
  [[nodiscard]] Node without(size_t n, size_t u) const;
  [[nodiscard]] double finish_of(const Node& node, size_t n) const {
    return std::max(node.busy / view_->problem.cpus[n], node.longest);
  }
  [[nodiscard]] double flow_of(const Node& node, size_t n) const {
    return node.sum * std::max(1.0, node.width / view_->problem.cpus[n]);
  }
  void put(size_t n, const Node& node);
  void find_top() const;

  const Weighted* view_;
  Mapping mapping_;
  std::vector<std::vector<size_t>> on_;
  std::vector<double> busy_, longest_, sum_, width_, memory_, finish_, per_cpu_;
  double flow_sum_ = 0;
  size_t placed_ = 0;
  mutable bool top_known_ = false;
  mutable std::array<int, 3> top_{kNowhere, kNowhere, kNowhere};  ///< the nodes that finish last
};

/// Where each unit is, and nowhere those that can't stay.
Mapping staying(const Problem& problem);

/// For heuristics that map from nothing: those that can be in one place only are there already, the others are `open`.
Loads only_fixed(const Weighted& view, std::vector<size_t>& open);

/// Of what a policy wants, what is to be done: hysteresis, the limit, room for those that must go. See settle.cc.
struct Settled {
  Mapping mapping;
  std::vector<int> stuck;
  int dropped = 0;
};
Settled settle(const Weighted& view, const Mapping& wanted);

// The rows of policies.cc.
Mapping map_none(const Weighted& view);
Mapping map_min_min(const Weighted& view);
Mapping map_max_min(const Weighted& view);
Mapping map_sufferage(const Weighted& view);
Mapping map_mct(const Weighted& view);
Mapping map_olb(const Weighted& view);
Mapping map_ga(const Weighted& view);
Mapping map_tabu(const Weighted& view);
Mapping map_exact(const Weighted& view);
Mapping map_gossip(const Weighted& view);

}  // namespace godwit::sched
