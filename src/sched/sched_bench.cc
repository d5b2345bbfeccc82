// How long a decision takes: each policy on a small grid, and 10 000 units on 1000 nodes by those that are meant for it.
#include <benchmark/benchmark.h>

#include "sched/random_grid.h"

namespace godwit::sched {
namespace {

void decide_once(benchmark::State& state, const char* name, const GridShape& shape) {
  Situation now = random_grid(1, shape);
  now.event = {EventKind::kJoin, 0};
  const Problem p = make_problem(now);
  Settings settings;
  settings.max_moves = shape.units > 1000 ? 64 : 0;
  const auto choice = choose(name, settings);
  for (auto _ : state) benchmark::DoNotOptimize(decide(*choice, p));
}

void problem_once(benchmark::State& state, const GridShape& shape) {
  const Situation now = random_grid(1, shape);
  for (auto _ : state) benchmark::DoNotOptimize(make_problem(now));
}

constexpr GridShape kSmall{100, 10, false}, kLarge{10'000, 1000, false};

BENCHMARK_CAPTURE(decide_once, min_min_m_100_units_10_nodes, "min-min-m", kSmall)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decide_once, max_min_m_100_units_10_nodes, "max-min-m", kSmall)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decide_once, ga_m_100_units_10_nodes, "ga-m", kSmall)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decide_once, tabu_m_100_units_10_nodes, "tabu-m", kSmall)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decide_once, gossip_m_100_units_10_nodes, "gossip-m", kSmall)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decide_once, min_min_m_10000_units_1000_nodes, "min-min-m", kLarge)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decide_once, mct_m_10000_units_1000_nodes, "mct-m", kLarge)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decide_once, gossip_m_10000_units_1000_nodes, "gossip-m", kLarge)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(problem_once, 10000_units_1000_nodes, kLarge)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace godwit::sched
