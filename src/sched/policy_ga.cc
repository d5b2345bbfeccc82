// A genetic algorithm over mappings.
//
// Source: Braun et al., "A Comparison of Eleven Static Heuristics…", JPDC 61(6), 2001 (after Wang et al., JPDC 47, 1997);
// G-JavaMPI's GA-S, -M, -L are this over remaining work, with the penalty of penalty.cc in the fitness. A chromosome is a
// mapping, its fitness the objective. Each generation: rank roulette (1 chance for the worst, n for the best), one-point
// crossover of six in ten pairs, mutation of four in ten (a unit goes to a random node that may have it), the best always
// survives. It ends after `generations`, or 150 without a better one (theirs), or when all are alike.
//
// In the first generation are Min-min's mapping and things as they are: so it is never worse than either. The others are things
// as they are with a tenth of the units moved at random: a grid at work is rarely wrong everywhere.
//
// Memory: a chromosome that overfills a node is worth nothing. One that leaves units nowhere would look good; those go last.
#include <numeric>

#include "sched/random.h"
#include "sched/weighted.h"

namespace godwit::sched {
namespace {

constexpr double kCrossover = 0.6, kMutation = 0.4;
constexpr int kPatience = 150;

class Population {
 public:
  explicit Population(const Weighted& view) : view_(view), random_(view.settings.seed) {
    places_.resize(view.units());
    for (size_t u = 0; u < view.units(); ++u)
      for (size_t n = 0; n < view.nodes(); ++n)
        if (view.problem.etc.at(u, n) != kNever) places_[u].push_back(static_cast<int>(n));
    first_ = map_min_min(view);
  }

  Mapping best() {
    std::vector<Mapping> all{first_, settle(view_, staying(view_.problem)).mapping};
    while (all.size() < static_cast<size_t>(view_.settings.population)) {
      Mapping m = all[all.size() % 2 == 0 ? 1 : 0];
      for (size_t i = 0; i <= m.size() / 10; ++i) mutate(m);
      all.push_back(std::move(m));
    }
    std::vector<double> worth;
    for (const auto& m : all) worth.push_back(fitness(m));
    for (int age = 0, idle = 0; age < view_.settings.generations && idle < kPatience; ++age, ++idle) {
      std::vector<size_t> order(all.size());
      std::iota(order.begin(), order.end(), 0);
      std::ranges::stable_sort(order, {}, [&](size_t i) { return worth[i]; });
      if (worth[order.front()] == worth[order.back()] && age > 0) break;
      const double before = worth[order.front()];
      all = next(all, order);
      for (size_t i = 0; i < all.size(); ++i) worth[i] = fitness(all[i]);
      if (*std::ranges::min_element(worth) < before) idle = 0;
    }
    return all[static_cast<size_t>(std::ranges::min_element(worth) - worth.begin())];
  }

 private:
  void mutate(Mapping& m) {
    const size_t u = random_.below(m.size());
    if (!places_[u].empty()) m[u] = places_[u][random_.below(places_[u].size())];
  }

  /// Rank roulette: the place in the order is distributed with falling weight.
  size_t pick(const std::vector<size_t>& order) {
    const double n = static_cast<double>(order.size());
    const auto place = static_cast<size_t>(n * (1 - std::sqrt(random_.uniform())));
    return order[std::min(place, order.size() - 1)];
  }

  std::vector<Mapping> next(const std::vector<Mapping>& all, const std::vector<size_t>& order) {
    std::vector<Mapping> out{all[order.front()]};
    while (out.size() < all.size()) {
      Mapping child = all[pick(order)];
      if (child.size() > 1 && random_.chance(kCrossover)) {
        const Mapping& other = all[pick(order)];
        const size_t cut = 1 + random_.below(child.size() - 1);
        std::copy(other.begin() + static_cast<std::ptrdiff_t>(cut), other.end(),
                  child.begin() + static_cast<std::ptrdiff_t>(cut));
      }
      if (random_.chance(kMutation)) mutate(child);
      out.push_back(std::move(child));
    }
    return out;
  }

  double fitness(const Mapping& m) {
    const Problem& p = view_.problem;
    struct Node {
      double busy = 0, longest = 0, sum = 0, width = 0, memory = 0;
    };
    std::vector<Node> nodes(p.nodes());
    size_t placed = 0;
    for (size_t u = 0; u < m.size(); ++u) {
      if (m[u] == kNowhere) continue;
      const auto n = static_cast<size_t>(m[u]);
      const double e = view_.at(u, n), w = view_.width(u, n);
      Node& node = nodes[n];
      node = {node.busy + e * w, std::max(node.longest, e), node.sum + e, node.width + w, node.memory + p.memory[u]};
      ++placed;
    }
    double makespan = 0, flow = 0;
    for (size_t n = 0; n < nodes.size(); ++n) {
      if (nodes[n].memory > p.room[n]) return kNever;
      makespan = std::max({makespan, nodes[n].busy / p.cpus[n], nodes[n].longest});
      flow += nodes[n].sum * std::max(1.0, nodes[n].width / p.cpus[n]);
    }
    if (placed == 0) return 0;
    const double nowhere = static_cast<double>(m.size() - placed) * 1e12;
    return makespan + view_.settings.flow_weight * flow / static_cast<double>(placed) + nowhere;
  }

  const Weighted& view_;
  Random random_;
  std::vector<std::vector<int>> places_;
  Mapping first_;
};

}  // namespace

Mapping map_ga(const Weighted& view) {
  if (view.units() == 0 || view.nodes() == 0) return staying(view.problem);
  return Population(view).best();
}

}  // namespace godwit::sched
