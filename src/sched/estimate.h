// Estimates: how far a unit is, how fast a node and a link are, what a move will cost. Pure; part of the face of sched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace godwit::sched {

// ------------------------------------------------------------------------------------------------- link and cost of a move

/// Bytes per second between nodes, by index, as past transfers showed it.
class Links {
 public:
  explicit Links(double otherwise = 100e6) : otherwise_(otherwise) {}
  /// A transfer was seen: a mean in which the new sample counts a fourth, so that one slow transfer isn't the truth.
  void saw(int from, int to, double bytes, double seconds);
  /// Of that direction, else of the other one, else the mean of all that were seen, else what was assumed.
  [[nodiscard]] double speed(int from, int to) const;
  void set(int from, int to, double bytes_per_s) { seen_[{from, to}] = bytes_per_s; }

 private:
  double otherwise_;
  std::map<std::pair<int, int>, double> seen_;
};

/// What a move is predicted to cost the unit, in seconds in which it makes no progress, and how long it lasts in all.
///
/// Memory streams in rounds while the unit runs. A round sends what was dirtied during the one before, so the bytes are
/// memory * (1 + r + r² …) with r = dirty rate / link speed, until they are few or r isn't below 1 (Clark et al., "Live
/// Migration of Virtual Machines", NSDI 2005). Progress is lost in the freeze, and a part of it while pages stream.
/// `factor` is what the grid's own records say the formula is off by: see learned().
struct CostModel {
  double fixed_s = 0.020;  ///< freeze, restore, commit: what isn't memory
  double setup_s = 0.5;  ///< of the whole: entrance check, files, connections
  double slowdown = 0.10;  ///< part of its speed that a unit loses while its memory streams
  double last_round_bytes = 4e6;  ///< what is left for the freeze
  int max_rounds = 8;
  double factor = 1;
  bool live = true;  ///< false: stop, copy, go on
};

struct MoveCost {
  double lost_s = 0;  ///< progress that is lost: the cost in the ETC matrix
  double downtime_s = 0;
  double total_s = 0;
  double bytes = 0;
};
MoveCost predict(const CostModel& model, double memory, double dirty_rate, double link);

/// One move that happened, and what the unfactored model had said.
struct MoveRecord {
  double total_s = 0;
  double predicted_s = 0;
};
/// The model with its factor from records, newest last: the median of the ratios of the last 32, which no single odd move can
/// carry away; between 1/20 and 20.
CostModel learned(CostModel model, const std::vector<MoveRecord>& records);

// ----------------------------------------------------------------------------------------------------------- how far it is

/// What is known of a unit's progress. The best of it counts: said by the program, then the fraction of its input read, then
/// what earlier runs of the same program needed.
struct ProgressFacts {
  std::optional<double> said_done, said_total;  ///< the program's own words, in its own measure
  std::optional<double> read_bytes, input_bytes;
  double cpu_seconds = 0;  ///< used so far
  double speed = 1;  ///< of the node's CPUs on which it used them, as a mean
  std::optional<double> learned_work;  ///< of the whole, from History
};
enum class ProgressSource { kUnknown, kSaid, kReads, kLearned };
const char* progress_source_word(ProgressSource source);

struct Progress {
  double total = 0;  ///< work, in seconds of a CPU of speed 1
  double finished = 0;
  ProgressSource source = ProgressSource::kUnknown;
  [[nodiscard]] double fraction() const { return total > 0 ? finished / total : 0; }
};
/// Work so far is cpu_seconds * speed; the total is that over the fraction. Of a unit of which nothing is known it's assumed
/// that it goes on as long as it has lasted: the best guess for life times that spread as widely as those of processes do
/// (Harchol-Balter and Downey, "Exploiting Process Lifetime Distributions for Dynamic Load Balancing", 1997).
Progress progress_of(const ProgressFacts& facts);

/// What the runs of one program needed: a mean of the logarithms, as run times spread over orders of magnitude.
struct History {
  double log_mean = 0;
  uint64_t count = 0;
  void ended(double work);
  [[nodiscard]] std::optional<double> work() const;
};

/// A rate that changes, from samples of a counter: an exponential mean over `window_s`.
class Rate {
 public:
  explicit Rate(double window_s = 10) : window_s_(window_s) {}
  /// The counter's value at a time in seconds. A smaller one than before means that it began anew.
  void sample(double time_s, double counter);
  [[nodiscard]] double per_s() const { return rate_; }
  [[nodiscard]] bool known() const { return samples_ > 1; }

 private:
  double window_s_;
  double time_ = 0, counter_ = 0, rate_ = 0;
  uint64_t samples_ = 0;
};

}  // namespace godwit::sched
