// No one decides: each node sends a unit away when it hears of a better place for it.
//
// Source: MOSIX. Barak, Guday and Wheeler, "The MOSIX Distributed Operating System", LNCS 672, 1993; Barak and Shiloh, "A
// Distributed Load-balancing Policy for a Multicomputer", SP&E 15(9), 1985: each node sends its load to a few random nodes
// every second, keeps what it heard last in a vector of fixed length, and only ever compares itself with that. Amir et al.,
// TPDS 11(7), 2000, is where memory counts as much as CPU.
//
// Here one round is a pure function: every node, in random order, hears of `fanout` others as they were when the round began,
// and may send away one unit, to the one of them where the gain is greatest. A unit that is sent is noted by its receiver, which
// takes nothing beyond its room and tells the next one who asks; that is MOSIX's reservation against flooding. Units that must
// go are sent first, by as many nodes heard of as it takes.
//
// Contract: a unit is sent only if it is done sooner there, cost and penalty included, and the receiver, with it, isn't done
// later than the sender was. So the list of finish times, sorted from the latest, gets smaller: neither node may become the
// worst. That is its own objective; the makespan never grows. What a central policy sees at once takes it some rounds.
#include <numeric>

#include "sched/random.h"
#include "sched/weighted.h"

namespace godwit::sched {
namespace {

std::vector<size_t> shuffled(size_t count, Random& random) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

struct Offer {
  size_t unit = 0, to = 0;
  double gain = 0;
};

Offer best_offer(const Weighted& view, const Loads& loads, size_t from, const std::vector<size_t>& heard) {
  Offer best;
  for (const size_t u : loads.units_on(from)) {
    if (view.problem.at[u] != static_cast<int>(from)) continue;  // it has only just come
    const double stay = view.at(u, from) * loads.crowding(from);
    for (const size_t n : heard) {
      if (n == from || !loads.fits(u, n)) continue;
      const double width = view.width(u, n);
      double taken = width;
      for (const size_t other : loads.units_on(n)) taken += view.width(other, n);
      const double go = view.at(u, n) * std::max(1.0, taken / view.problem.cpus[n]);
      const auto then = loads.moved(u, n);
      if (loads.completion(u, n) > loads.finish(from) || then.value > loads.value()) continue;
      if (stay - go > best.gain) best = {u, n, stay - go};
    }
  }
  return best;
}

}  // namespace

Mapping map_gossip(const Weighted& view) {
  Random random(view.settings.seed);
  Loads loads(view, staying(view.problem));
  const auto heard = [&] {
    std::vector<size_t> out;
    for (int i = 0; i < view.settings.fanout; ++i) out.push_back(random.below(view.nodes()));
    return out;
  };
  if (view.nodes() == 0) return loads.mapping();
  for (size_t u = 0; u < view.units(); ++u) {
    if (!view.problem.forced(u)) continue;
    Best best;
    for (size_t round = 0; round < view.nodes() && best.node == kNowhere; ++round)
      for (const size_t n : heard())
        if (const double c = loads.completion(u, n); c < best.completion) best = {static_cast<int>(n), c};
    if (best.node != kNowhere) loads.add(u, static_cast<size_t>(best.node));
  }
  for (const size_t from : shuffled(view.nodes(), random)) {
    const Offer offer = best_offer(view, loads, from, heard());
    if (offer.gain <= 0) continue;
    loads.remove(offer.unit);
    loads.add(offer.unit, offer.to);
  }
  return loads.mapping();
}

}  // namespace godwit::sched
