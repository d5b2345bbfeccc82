#include "sched/estimate.h"

#include <algorithm>
#include <cmath>

namespace godwit::sched {

// --------------------------------------------------------------------------------------------------------------- links

namespace {
constexpr double kNewSample = 0.25;
constexpr double kLeastBytes = 1 << 20;  // less says more of the round trip than of the link
}  // namespace

void Links::saw(int from, int to, double bytes, double seconds) {
  if (bytes < kLeastBytes || !(seconds > 0)) return;
  const double speed = bytes / seconds;
  const auto [row, fresh] = seen_.try_emplace({from, to}, speed);
  if (!fresh) row->second += kNewSample * (speed - row->second);
}

double Links::speed(int from, int to) const {
  for (const auto& key : {std::pair(from, to), std::pair(to, from)})
    if (const auto it = seen_.find(key); it != seen_.end()) return it->second;
  if (seen_.empty()) return otherwise_;
  double sum = 0;
  for (const auto& [key, speed] : seen_) sum += speed;
  return sum / static_cast<double>(seen_.size());
}

// ------------------------------------------------------------------------------------------------------ cost of a move

MoveCost predict(const CostModel& model, double memory, double dirty_rate, double link) {
  MoveCost out;
  const double speed = std::max(1.0, link);
  if (!model.live) {
    out.bytes = memory;
    out.downtime_s = model.factor * (model.fixed_s + memory / speed);
    out.total_s = model.factor * model.setup_s + out.downtime_s;
    out.lost_s = out.downtime_s;
    return out;
  }
  const double r = std::max(0.0, dirty_rate) / speed;
  double streamed = 0, round = memory;
  for (int i = 0; i < model.max_rounds; ++i) {
    streamed += round;
    const double next = std::min(memory, round * r);
    const bool converges = next < round;
    round = next;
    if (!converges) break;
    if (round <= model.last_round_bytes) break;
  }
  out.bytes = streamed + round;
  out.downtime_s = model.factor * (model.fixed_s + round / speed);
  const double streaming = model.factor * streamed / speed;
  out.total_s = model.factor * model.setup_s + streaming + out.downtime_s;
  out.lost_s = out.downtime_s + model.slowdown * streaming;
  return out;
}

CostModel learned(CostModel model, const std::vector<MoveRecord>& records) {
  constexpr size_t kLast = 32;
  constexpr double kMost = 20;
  std::vector<double> ratios;
  for (size_t i = records.size() > kLast ? records.size() - kLast : 0; i < records.size(); ++i)
    if (records[i].predicted_s > 0 && records[i].total_s > 0)
      ratios.push_back(records[i].total_s / records[i].predicted_s);
  if (ratios.empty()) return model;
  const auto middle = ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2);
  std::ranges::nth_element(ratios, middle);
  model.factor = std::clamp(*middle, 1 / kMost, kMost);
  return model;
}

// ------------------------------------------------------------------------------------------------------------ progress

const char* progress_source_word(ProgressSource source) {
  switch (source) {
    case ProgressSource::kSaid: return "said";
    case ProgressSource::kReads: return "reads";
    case ProgressSource::kLearned: return "learned";
    case ProgressSource::kUnknown: break;
  }
  return "unknown";
}

Progress progress_of(const ProgressFacts& facts) {
  constexpr double kLeast = 1e-3;  // a fraction so small says nothing yet
  Progress out;
  out.finished = std::max(0.0, facts.cpu_seconds) * std::max(0.0, facts.speed);
  const auto by_fraction = [&](const std::optional<double>& done, const std::optional<double>& total,
                               ProgressSource source) {
    if (!done || !total || !(*total > 0)) return false;
    const double fraction = std::min(1.0, *done / *total);
    if (!(fraction >= kLeast)) return false;
    out.source = source;
    out.total = std::max(out.finished / fraction, 1e-3);
    out.finished = out.total * fraction;
    return true;
  };
  if (by_fraction(facts.said_done, facts.said_total, ProgressSource::kSaid)) return out;
  if (by_fraction(facts.read_bytes, facts.input_bytes, ProgressSource::kReads)) return out;
  if (facts.learned_work && *facts.learned_work > out.finished) {
    out.source = ProgressSource::kLearned;
    out.total = *facts.learned_work;
    return out;
  }
  constexpr double kYoung = 10;
  out.total = out.finished + std::max(kYoung, out.finished);
  return out;
}

void History::ended(double work) {
  if (!(work > 0)) return;
  ++count;
  // The newest runs count a fourth at least: programs change.
  log_mean += std::max(kNewSample, 1 / static_cast<double>(count)) * (std::log(work) - log_mean);
}

std::optional<double> History::work() const {
  return count == 0 || !std::isfinite(log_mean) ? std::nullopt : std::optional(std::exp(log_mean));
}

// --------------------------------------------------------------------------------------------------------------- rates

void Rate::sample(double time_s, double counter) {
  if (samples_ > 0 && time_s <= time_) return;
  if (samples_ > 0 && counter >= counter_) {
    const double now = (counter - counter_) / (time_s - time_);
    const double weight = samples_ == 1 ? 1 : 1 - std::exp(-(time_s - time_) / window_s_);
    rate_ += weight * (now - rate_);
    ++samples_;
  }
  if (samples_ == 0) samples_ = 1;
  time_ = time_s, counter_ = counter;
}

}  // namespace godwit::sched
