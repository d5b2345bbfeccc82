// sched: which unit should run on which node. Pure functions from what is known to moves; no I/O, no clock, and no randomness
// but the seed. The controller calls it for a real grid, the simulator (sim/sim.h) for one that doesn't exist: the same code.
//
//     Situation now = …;                                    // units, nodes, what just happened
//     const Problem problem = make_problem(now);            // the ETC matrix, and who may go where
//     TRY(const Choice choice, choose("min-min-m"));        // a policy of the table with its settings
//     const Plan plan = decide(choice, problem);            // moves, and what they are expected to gain
//
// ETC. The expected time to compute of unit u on node n is (total - finished) / rate: how long it would take alone on that node
// from now on. Moving there costs cost(u, n) seconds more, nothing where it is. Where a unit may not be, ETC is kNever: it is
// pinned, excluded, of another architecture, too large, moved only a moment ago; or the node takes nothing, or goes away. So no
// policy has to know these rules, and none can break them.
//
// OBJECTIVE. A node of c CPUs whose units need e1, e2 … seconds of it is done after max(sum / c, longest). The makespan is the
// greatest of these. Beside it counts the flow: the mean time to completion, if each unit keeps the share of its node that it
// would have at first. Without it a single long unit, which nothing can shorten, would hide all else. Policies minimise
// makespan + flow_weight * flow.
//
// PENALTY. After G-JavaMPI, a move that isn't forced is charged, beyond what it costs, a part of the unit's remaining time: none
// (S), a moderate (M) or a large one (L), for when the grid is extended and for when it shrinks. See penalty.cc.
//
// PROMISES, each a property test with printed seeds (policies_test.cc): a plan is never worse than staying, by the policy's
// own objective; it never puts a unit where ETC is kNever or its memory has no room; the same input gives the same plan; a
// unit that has to go and can't is named in `stuck`; asked again after its plan was carried out, no policy wants it back.
//
// To add a policy: a file policy_NAME.cc that says whose it is, a row in policies.cc, a line in docs/design/sched.md.
// Threads: everything is a value; call from any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sched/estimate.h"

namespace godwit::sched {

inline constexpr double kNever = std::numeric_limits<double>::infinity();
inline constexpr int kNowhere = -1;

// ------------------------------------------------------------------------------------------------------ what is known

struct Unit {
  std::string name;
  int node = kNowhere;  ///< index into nodes; kNowhere: it waits to be placed
  double total = 0;  ///< work, in seconds of a CPU of speed 1
  double finished = 0;
  double width = 1;  ///< CPUs that it can use at once
  double memory = 0;  ///< bytes
  double dirty_rate = 0;  ///< bytes per second that it writes anew
  double moved_ago = kNever;  ///< seconds since it was last moved
  std::string arch;  ///< the only one it can go on with; empty: any
  bool pinned = false;  ///< its owner wants it to stay
  std::vector<std::string> excluded;  ///< nodes that its owner doesn't want
};

enum class NodeState {
  kTakes,  ///< takes units
  kKeeps,  ///< keeps those it has, takes none
  kLeaving,  ///< those it has must go
  kGone,  ///< not there
};

struct Node {
  std::string name;
  NodeState state = NodeState::kTakes;
  double speed = 1;  ///< of one CPU
  double cpus = 1;
  double memory = 0;  ///< bytes for units, those that are there included; 0: not known, so no limit
  std::string arch;
};

enum class EventKind { kLoad, kSubmit, kJoin, kLeave, kVanish, kDrain, kSlow, kPressure, kSpot };
std::string_view event_word(EventKind kind);
/// The grid gets larger, smaller, or neither.
bool extends(EventKind kind);
bool shrinks(EventKind kind);

struct Event {
  EventKind kind = EventKind::kLoad;
  int node = kNowhere;
};

struct Situation {
  std::vector<Unit> units;
  std::vector<Node> nodes;
  Links links;  ///< between nodes, by index
  CostModel cost;
  Event event;
  double cooldown_s = 30;  ///< a unit that was moved stays so long
  double reserve = 0.05;  ///< part of a node's memory that no newcomer may take
};

// ---------------------------------------------------------------------------------------------------------- the problem

/// Rows are units, columns are nodes.
class Matrix {
 public:
  Matrix() = default;
  Matrix(size_t rows, size_t columns, double value = 0) : columns_(columns), cells_(rows * columns, value) {}
  double& at(size_t row, size_t column) { return cells_[row * columns_ + column]; }
  [[nodiscard]] double at(size_t row, size_t column) const { return cells_[row * columns_ + column]; }
  [[nodiscard]] const double* row(size_t r) const { return cells_.data() + r * columns_; }
  [[nodiscard]] size_t rows() const { return columns_ == 0 ? 0 : cells_.size() / columns_; }
  [[nodiscard]] size_t columns() const { return columns_; }

 private:
  size_t columns_ = 0;
  std::vector<double> cells_;
};

/// A mapping gives each unit its node, or kNowhere.
using Mapping = std::vector<int>;

struct Problem {
  Matrix etc;  ///< seconds alone on the node; kNever: not there
  Matrix cost;  ///< seconds to move it there; 0 where it is
  Mapping at;  ///< where each unit is
  std::vector<double> width;  ///< by unit
  std::vector<double> memory;  ///< by unit
  std::vector<double> cpus;  ///< by node
  std::vector<double> room;  ///< by node: memory for all units there
  Event event;
  [[nodiscard]] size_t units() const { return at.size(); }
  [[nodiscard]] size_t nodes() const { return cpus.size(); }
  /// It can't stay where it is, or isn't anywhere.
  [[nodiscard]] bool forced(size_t u) const {
    return at[u] == kNowhere || etc.at(u, static_cast<size_t>(at[u])) == kNever;
  }
};

Problem make_problem(const Situation& now);
/// Seconds that the unit would need alone on the node, whatever the rules; kNever on one that does nothing.
double alone_s(const Unit& unit, const Node& node);

// ------------------------------------------------------------------------------------------------------------- policies

enum class Penalty { kNone, kModerate, kLarge };
std::string_view penalty_word(Penalty penalty);

/// What a policy can be told. Every one has a name, for `godwit policy set NAME key=value`: settings_table().
struct Settings {
  Penalty extension = Penalty::kModerate;
  Penalty shrink = Penalty::kModerate;
  double moderate = 0.10;  ///< part of the remaining time that a moderate penalty charges
  double large = 0.50;
  double flow_weight = 1;
  double min_gain = 0.05;  ///< a move must gain this part of the unit's remaining time…
  double min_gain_s = 1;  ///< … and so many seconds, or it isn't made
  int max_moves = 0;  ///< moves of choice in one plan; 0: no limit
  uint64_t seed = 1;
  int population = 100;  ///< GA
  int generations = 300;  ///< GA
  int iterations = 400;  ///< Tabu
  int64_t expansions = 2'000'000;  ///< exact: after so many it answers with the best it has
  double look_s = 30;  ///< of a grid: seconds between two looks at the load, where nothing happens; 0: never
  int fanout = 3;  ///< gossip: nodes that each node hears of
};

struct SettingRow {
  std::string_view name;
  std::string_view help;
  std::string (*get)(const Settings&);
  Result<void> (*set)(Settings&, const std::string& value);
};
const std::vector<SettingRow>& settings_table();
/// "key=value"; unknown keys and values out of range are Code::kUsage.
Result<void> set(Settings& settings, std::string_view key_value);

struct Weighted;  // weighted.h: a Problem as a policy sees it

struct Policy {
  std::string_view name;
  std::string_view summary;
  std::string_view source;  ///< the paper
  Mapping (*map)(const Weighted& view);  ///< where each unit should be
};
const std::vector<Policy>& policies();

struct Choice {
  const Policy* policy = nullptr;
  Settings settings;
};
/// A name of the table, or one with -s, -m or -l (the paper's names: "min-min-m", "ga-l") for both penalties.
Result<Choice> choose(std::string_view name, const Settings& settings = {});
std::string full_name(const Choice& choice);

// ---------------------------------------------------------------------------------------------------------------- plans

struct Objective {
  double makespan = 0;
  double flow = 0;  ///< mean seconds to completion
  [[nodiscard]] double value(double flow_weight) const { return makespan + flow_weight * flow; }
};
/// Of a mapping, with the costs of its moves and without penalties. Units that are nowhere don't count.
Objective evaluate(const Problem& problem, const Mapping& mapping);

enum class Why { kPlaced, kForced, kGain };

struct Move {
  int unit = 0;
  int from = kNowhere;
  int to = kNowhere;
  Why why = Why::kGain;
  double stay_s = kNever;  ///< until its end as things are; kNever: it can't stay
  double go_s = 0;  ///< until its end after all moves of the plan, the cost of its own included
  double cost_s = 0;
};

struct Plan {
  std::vector<Move> moves;  ///< forced ones first, then by what they gain
  Mapping mapping;
  Objective before, after;
  std::vector<int> stuck;  ///< units that have to go and fit nowhere
  int dropped = 0;  ///< moves that the policy wished and that weren't worth their while, or over the limit
};

Plan decide(const Choice& choice, const Problem& problem);

}  // namespace godwit::sched
