// Of what a policy wants, what is to be done. The same for all policies, so that none can break a promise of sched.h.
//
// Problem: the heuristics of the literature map independent tasks onto idle machines. Asked about a grid that is at work, they
// answer with another mapping that may be no better, moves half of everything, and is worth nothing by the time the last move
// is made. And their order of placing can leave a large unit without memory, although it had some where it was.
//
// Idea: start from where the units are. First those that must go, largest first: to where the policy wants them, else to where
// they are done soonest. Then the policy's other moves. All of them, when together they gain more than each must (HYSTERESIS:
// min_gain of the unit's remaining time, and min_gain_s), and the objective isn't worse. Else, or when there are more than the
// limit, one after the other, always the one that gains most, as long as one gains enough. Every step is feasible in itself,
// so a plan that is broken off in the middle, as real ones are, leaves no node overfull. (A swap of two units between full
// nodes needs a third place and isn't made.)
//
// Gain is counted in unit-seconds: what the makespan loses and what all units' times to completion lose. So a move's worth
// doesn't shrink with the grid's size.
//
// No ping-pong: with the world as it is, each plan makes the objective smaller, costs and penalties included; what has come
// to its place costs nothing there. So asking again and again ends, and no mapping comes twice. When the world changes,
// `cooldown_s` (make_problem) keeps what has just been moved where it is.
#include <algorithm>
#include <numeric>

#include "sched/weighted.h"

namespace godwit::sched {
namespace {

struct Step {
  size_t unit;
  size_t to;
};

double threshold(const Weighted& view, size_t u) {
  const auto& s = view.settings;
  return s.min_gain_s + s.min_gain * view.problem.etc.at(u, static_cast<size_t>(view.problem.at[u]));
}

/// Those that must go. The biggest is the hardest to place.
void place_forced(const Weighted& view, const Mapping& wanted, Loads& loads, Settled& out) {
  const Problem& p = view.problem;
  std::vector<size_t> forced;
  for (size_t u = 0; u < p.units(); ++u)
    if (p.forced(u)) forced.push_back(u);
  std::ranges::stable_sort(forced, [&](size_t a, size_t b) { return p.memory[a] > p.memory[b]; });
  for (const size_t u : forced) {
    int to = wanted[u];
    if (to == kNowhere || !loads.fits(u, static_cast<size_t>(to))) {
      to = kNowhere;
      for (size_t n = 0; n < p.nodes(); ++n)
        if (const double c = loads.completion(u, n);
            c != kNever && (to == kNowhere || c < loads.completion(u, static_cast<size_t>(to))))
          to = static_cast<int>(n);
    }
    if (to == kNowhere)
      out.stuck.push_back(static_cast<int>(u));
    else
      loads.add(u, static_cast<size_t>(to));
  }
  std::ranges::sort(out.stuck);
}

double gain(const Weighted& view, double makespan, double flow_sum, const Loads& loads) {
  return loads.makespan() - makespan + view.settings.flow_weight * (loads.flow_sum() - flow_sum);
}

/// All of them at once, if that is allowed, feasible and worth it.
bool take_all(const Weighted& view, const std::vector<Step>& steps, Loads& loads) {
  const auto limit = static_cast<size_t>(view.settings.max_moves);
  if (steps.empty() || (limit != 0 && steps.size() > limit)) return false;
  Loads after = loads;
  double wanted = 0;
  for (const Step& s : steps) after.remove(s.unit), wanted += threshold(view, s.unit);
  for (const Step& s : steps) {
    if (!after.fits(s.unit, s.to)) return false;
    after.add(s.unit, s.to);
  }
  if (after.value() > loads.value() || gain(view, after.makespan(), after.flow_sum(), loads) < wanted) return false;
  loads = std::move(after);
  return true;
}

size_t take_best(const Weighted& view, std::vector<Step> steps, Loads& loads) {
  const size_t limit = view.settings.max_moves == 0 ? steps.size() : static_cast<size_t>(view.settings.max_moves);
  size_t taken = 0;
  for (; taken < limit && !steps.empty(); ++taken) {
    double best = 0;
    size_t chosen = steps.size();
    for (size_t i = 0; i < steps.size(); ++i) {
      const auto then = loads.moved(steps[i].unit, steps[i].to);
      if (then.value == kNever || then.value > loads.value()) continue;
      const double worth = gain(view, then.makespan, then.flow_sum, loads) - threshold(view, steps[i].unit);
      if (worth > best) best = worth, chosen = i;
    }
    if (chosen == steps.size()) break;
    loads.remove(steps[chosen].unit);
    loads.add(steps[chosen].unit, steps[chosen].to);
    steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(chosen));
  }
  return taken;
}

}  // namespace

Settled settle(const Weighted& view, const Mapping& wanted) {
  Settled out;
  Loads loads(view, staying(view.problem));
  place_forced(view, wanted, loads, out);
  std::vector<Step> steps;
  for (size_t u = 0; u < view.units(); ++u)
    if (!view.problem.forced(u) && wanted[u] != kNowhere && wanted[u] != view.problem.at[u])
      steps.push_back({u, static_cast<size_t>(wanted[u])});
  const size_t taken = take_all(view, steps, loads) ? steps.size() : take_best(view, steps, loads);
  out.dropped = static_cast<int>(steps.size() - taken);
  out.mapping = loads.mapping();
  return out;
}

}  // namespace godwit::sched
