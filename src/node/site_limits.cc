#include "node/site_limits.h"  // first, so that the header proves self-contained

#include <algorithm>

namespace godwit::node {

std::optional<SiteLimits::Ticket> SiteLimits::take(const std::string& site) {
  if (site.empty()) return Ticket({});
  const std::lock_guard lock(state_->mutex);
  const auto now = now_();
  const auto [row, is_new] = state_->sites.try_emplace(site);
  Site& s = row->second;
  const double rested = std::chrono::duration<double>(now - s.at).count() * limit_.per_second;
  s.tokens = is_new ? limit_.burst : std::min(limit_.burst, s.tokens + rested);
  s.at = now;
  if (s.open >= limit_.at_once || s.tokens < 1) return std::nullopt;
  s.open++;
  s.tokens -= 1;
  return Ticket([state = state_, site] {
    const std::lock_guard back(state->mutex);
    state->sites.at(site).open--;
  });
}

}  // namespace godwit::node
