// Max-min, and Sufferage: as Min-min, but the unit that is placed next is chosen otherwise.
//
// Max-min (Ibarra and Kim, JACM 24(2), 1977, algorithm E): the one whose soonest completion is the latest. Long units first, so
// that none is left over for the end; good where a few are long and many short.
//
// Sufferage (Maheswaran, Ali, Siegel, Hensgen and Freund, JPDC 59(2), 1999): the one that suffers most if it doesn't get its
// best node: second best completion less best.
//
// A unit's best is found again only when its node was given another unit: all other nodes are as they were. A second best
// likewise. O(units^2 + units * nodes * hits).
#include "sched/weighted.h"

namespace godwit::sched {
namespace {

struct Bid {
  int first = kNowhere, second = kNowhere;
  double completion = kNever;
  double next = kNever;  ///< on the second best node
};

Bid bid(const Weighted& view, const Loads& loads, size_t u) {
  Bid out;
  const Best best = loads.soonest(u);
  out.first = best.node;
  out.completion = best.completion;
  for (size_t n = 0; n < view.nodes(); ++n) {
    if (static_cast<int>(n) == best.node) continue;
    if (const double c = loads.completion(u, n); c < out.next) out.next = c, out.second = static_cast<int>(n);
  }
  return out;
}

/// One that has nowhere else to go suffers most.
double sufferage(const Bid& b) { return b.next == kNever ? kNever : b.next - b.completion; }

Mapping greatest_first(const Weighted& view, double (*rank)(const Bid&)) {
  std::vector<size_t> open;
  Loads loads = only_fixed(view, open);
  std::vector<Bid> bids(view.units());
  for (const size_t u : open) bids[u] = bid(view, loads, u);
  while (!open.empty()) {
    size_t chosen = 0;
    for (size_t i = 1; i < open.size(); ++i)
      if (rank(bids[open[i]]) > rank(bids[open[chosen]])) chosen = i;
    const size_t u = open[chosen];
    const int to = bids[u].first;
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(chosen));
    if (to == kNowhere) continue;
    loads.add(u, static_cast<size_t>(to));
    for (const size_t other : open)
      if (bids[other].first == to || bids[other].second == to) bids[other] = bid(view, loads, other);
  }
  return loads.mapping();
}

}  // namespace

Mapping map_max_min(const Weighted& view) {
  return greatest_first(view, [](const Bid& b) { return b.completion; });
}

Mapping map_sufferage(const Weighted& view) { return greatest_first(view, sufferage); }

}  // namespace godwit::sched
