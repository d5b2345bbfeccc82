// Tabu search over single moves.
//
// Source: Glover and Laguna, "Tabu Search", 1997; for mapping tasks De Falco et al., "Improving Search by Incorporating
// Evolution Principles in Parallel Tabu Search", ICEC 1994, which Braun et al. compare. Start: the better of Min-min's mapping
// and things as they are. Step: of the moves of some units to some nodes, the best, even if it is worse than staying; a unit
// that was moved is tabu for a while, unless moving it gives the best mapping ever seen (aspiration). When nothing better was
// found for long, a long hop: a few random moves, and on from there.
//
// Candidates. All units times all nodes is too much for large grids. Looked at are the units of the node that finishes last,
// since only they can shorten the makespan, and as many random ones; each with up to kLook nodes.
#include "sched/random.h"
#include "sched/weighted.h"

namespace godwit::sched {
namespace {

constexpr size_t kLook = 32;
constexpr int kStuck = 60, kHops = 4;

struct Step {
  size_t unit = 0, to = 0;
  double value = kNever;
};

std::vector<size_t> candidates(const Weighted& view, const Loads& loads, Random& random) {
  size_t last = 0;
  for (size_t n = 1; n < view.nodes(); ++n)
    if (loads.finish(n) > loads.finish(last)) last = n;
  std::vector<size_t> units = loads.units_on(last);
  if (units.size() > kLook) units.resize(kLook);
  for (const size_t wanted = units.size() + std::min(kLook, view.units()); units.size() < wanted;)
    units.push_back(random.below(view.units()));
  return units;
}

Step best_step(const Weighted& view, const Loads& loads, const std::vector<int>& tabu, int now, double record,
               Random& random) {
  Step best;
  for (const size_t u : candidates(view, loads, random)) {
    if (loads.where(u) == kNowhere) continue;
    const size_t looks = std::min(view.nodes(), kLook), start = random.below(view.nodes());
    for (size_t i = 0; i < looks; ++i) {
      const size_t n = (start + i) % view.nodes();
      if (loads.where(u) == static_cast<int>(n)) continue;
      const double value = loads.moved(u, n).value;
      if (value < best.value && (tabu[u] <= now || value < record)) best = {u, n, value};
    }
  }
  return best;
}

void hop(const Weighted& view, Loads& loads, Random& random) {
  for (int i = 0; i < kHops; ++i) {
    const size_t u = random.below(view.units()), n = random.below(view.nodes());
    if (loads.where(u) == kNowhere || loads.where(u) == static_cast<int>(n) || !loads.fits(u, n)) continue;
    loads.remove(u);
    loads.add(u, n);
  }
}

}  // namespace

Mapping map_tabu(const Weighted& view) {
  if (view.units() == 0 || view.nodes() == 0) return staying(view.problem);
  Random random(view.settings.seed);
  Loads loads(view, settle(view, staying(view.problem)).mapping);
  const auto nowhere = [](const Loads& l) { return std::ranges::count(l.mapping(), kNowhere); };
  if (Loads fresh(view, map_min_min(view)); nowhere(fresh) <= nowhere(loads) && fresh.value() < loads.value())
    loads = std::move(fresh);
  Mapping best = loads.mapping();
  double record = loads.value();
  std::vector<int> tabu(view.units(), 0);
  const int tenure = 5 + static_cast<int>(view.units() / 10);
  int idle = 0;
  for (int now = 1; now <= view.settings.iterations; ++now) {
    const Step step = best_step(view, loads, tabu, now, record, random);
    if (step.value != kNever) {
      loads.remove(step.unit);
      loads.add(step.unit, step.to);
      tabu[step.unit] = now + std::min(tenure, 30);
    }
    if (loads.value() < record) {
      record = loads.value(), best = loads.mapping(), idle = 0;
    } else if (++idle % kStuck == 0) {
      hop(view, loads, random);
    }
  }
  return best;
}

}  // namespace godwit::sched
