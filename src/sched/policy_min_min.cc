// Min-min. Of all units not yet placed, the one that can be done soonest is placed where it is done soonest; and so on.
//
// Source: Ibarra and Kim, "Heuristic Algorithms for Scheduling Independent Tasks on Nonidentical Processors", JACM 24(2), 1977
// (their algorithm D); Braun et al., JPDC 61(6), 2001, found it within a few percent of a genetic algorithm at a thousandth of
// the time. G-JavaMPI reschedules with it: all tasks that aren't finished, remaining work in place of whole work, the cost of
// the move in the ETC of every node but the present one, times a penalty (penalty.cc).
//
// As it is written it takes O(units^2 * nodes): 10 000 units on 1000 nodes would be 10^11 steps. But completions only grow while
// units are placed, so an old minimum is a lower bound: a queue by those, whose first is looked at anew and is placed if it is
// still first (Minoux's "accelerated greedy", 1978). The result is the same. Ties: the lower unit, home, the lower node.
#include <queue>

#include "sched/weighted.h"

namespace godwit::sched {

Mapping map_min_min(const Weighted& view) {
  struct Entry {
    double bound;
    size_t unit;
    bool operator>(const Entry& other) const { return bound != other.bound ? bound > other.bound : unit > other.unit; }
  };
  std::vector<size_t> open;
  Loads loads = only_fixed(view, open);
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
  for (const size_t u : open) queue.push({loads.soonest(u).completion, u});
  while (!queue.empty()) {
    const Entry first = queue.top();
    queue.pop();
    const Best best = loads.soonest(first.unit);
    if (best.node == kNowhere) continue;
    if (best.completion > first.bound) {
      queue.push({best.completion, first.unit});
      continue;
    }
    loads.add(first.unit, static_cast<size_t>(best.node));
  }
  return loads.mapping();
}

}  // namespace godwit::sched
