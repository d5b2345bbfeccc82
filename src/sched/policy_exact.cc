// The best mapping there is, for small cases: what the heuristics lose against it is their regret.
//
// Branch and bound (Land and Doig 1960), depth first: units by falling size, each tried on its nodes, the most promising first.
// Bound of a partial mapping: its own makespan and flow (both only grow when a unit is added), the least time each unit still
// open takes anywhere, and the mean load if all that is open were spread without loss. It starts from the better of Min-min's
// mapping and things as they are, so that most is cut off early; after `expansions` it answers with the best it has.
#include <numeric>

#include "sched/weighted.h"

namespace godwit::sched {
namespace {

class Search {
 public:
  explicit Search(const Weighted& view) : view_(view), loads_(view) {
    for (size_t u = 0; u < view.units(); ++u) {
      const double e = least(u);
      if (e != kNever) order_.push_back(u);
    }
    std::ranges::stable_sort(order_, [&](size_t a, size_t b) { return least(a) > least(b); });
    rest_.assign(order_.size() + 1, 0);
    longest_.assign(order_.size() + 1, 0);
    busy_.assign(order_.size() + 1, 0);
    for (size_t i = order_.size(); i-- > 0;) {
      rest_[i] = rest_[i + 1] + least(order_[i]);
      longest_[i] = std::max(longest_[i + 1], least(order_[i]));
      busy_[i] = busy_[i + 1] + least_busy(order_[i]);
    }
    cpus_ = std::accumulate(view.problem.cpus.begin(), view.problem.cpus.end(), 0.0);
  }

  Mapping run() {
    const auto whole = [&](const Mapping& m) {
      return std::ranges::count(m, kNowhere) == static_cast<std::ptrdiff_t>(view_.units() - order_.size());
    };
    for (const Mapping& m : {settle(view_, staying(view_.problem)).mapping, map_min_min(view_)}) {
      if (best_.empty()) best_ = m;
      if (const double v = Loads(view_, m).value(); whole(m) && v < record_) record_ = v, best_ = m;
    }
    deepen(0, 0);
    return best_;
  }

 private:
  double least(size_t u) const {
    double out = kNever;
    for (size_t n = 0; n < view_.nodes(); ++n) out = std::min(out, view_.at(u, n));
    return out;
  }
  double least_busy(size_t u) const {
    double out = kNever;
    for (size_t n = 0; n < view_.nodes(); ++n) out = std::min(out, view_.at(u, n) * view_.width(u, n));
    return out;
  }

  double bound(size_t depth, double busy) const {
    const double makespan = std::max({loads_.makespan(), longest_[depth], (busy + busy_[depth]) / cpus_});
    const double flow = (loads_.flow_sum() + rest_[depth]) / static_cast<double>(order_.size());
    return makespan + view_.settings.flow_weight * flow;
  }

  void deepen(size_t depth, double busy) {
    if (left_-- <= 0) return;
    if (depth == order_.size()) {
      if (const double v = loads_.value(); v < record_) record_ = v, best_ = loads_.mapping();
      return;
    }
    const size_t u = order_[depth];
    std::vector<std::pair<double, size_t>> places;
    for (size_t n = 0; n < view_.nodes(); ++n)
      if (const double c = loads_.completion(u, n); c != kNever) places.emplace_back(c, n);
    std::ranges::sort(places);
    for (const auto& [completion, n] : places) {
      const double more = view_.at(u, n) * view_.width(u, n);
      loads_.add(u, n);
      if (bound(depth + 1, busy + more) < record_ - 1e-9) deepen(depth + 1, busy + more);
      loads_.remove(u);
    }
  }

  const Weighted& view_;
  Loads loads_;
  std::vector<size_t> order_;
  std::vector<double> rest_, longest_, busy_;  ///< of the units from this depth on
  double cpus_ = 0;
  double record_ = kNever;
  Mapping best_;
  int64_t left_ = view_.settings.expansions;
};

}  // namespace

Mapping map_exact(const Weighted& view) {
  if (view.units() == 0 || view.nodes() == 0) return staying(view.problem);
  return Search(view).run();
}

}  // namespace godwit::sched
