#include "engine/policy.h"

#include <algorithm>

namespace godwit::engine {
namespace {
constexpr double kShrinks = 0.8;               // a round of more than this share of the one before has not shrunk
constexpr unsigned kStuckRounds = 2;           // that many in a row are no accident
constexpr uint64_t kTellingBytes = 4u << 20;   // a shorter round measures wake-ups, not the link
constexpr double kGuessedRate = 512.0 * 1024;  // bytes a millisecond, when no round was long enough
constexpr uint64_t kTrifle = 64u << 10;        // less isn't worth a round
}  // namespace

const char* PrecopyPolicy::after_round(uint64_t bytes, double ms) {
  rounds_++;
  if (bytes >= kTellingBytes && ms > 0) rate_ = std::max(rate_, static_cast<double>(bytes) / ms);
  // The round's bytes were written during the one before; as many a millisecond are being written now.
  const double dirty_rate = rounds_ > 1 && last_ms_ > 0 ? static_cast<double>(bytes) / last_ms_ : 0;
  const double rest = rounds_ > 1 ? std::min(static_cast<double>(bytes), dirty_rate * ms) : static_cast<double>(bytes);
  const double rest_ms = rest / (rate_ > 0 ? rate_ : kGuessedRate);
  const bool shrank = rounds_ == 1 || static_cast<double>(bytes) < kShrinks * static_cast<double>(last_bytes_);
  stuck_ = shrank ? 0 : stuck_ + 1;
  last_bytes_ = bytes;
  last_ms_ = ms;
  if (bytes <= kTrifle) return "almost nothing is written";
  if (rounds_ > 1 && rest_ms <= goal_.downtime_ms) return "the rest fits the goal";
  if (stuck_ >= kStuckRounds) return "rounds no longer shrink";
  if (rounds_ >= goal_.max_rounds) return "as many rounds as allowed";
  return nullptr;
}

}  // namespace godwit::engine
