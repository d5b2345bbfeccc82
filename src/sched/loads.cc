#include <algorithm>

#include "sched/weighted.h"

namespace godwit::sched {

Weighted::Weighted(const Problem& p, const Settings& s)
    : problem(p), settings(s), penalty(penalty_of(s, p.event.kind)), charge(p.units(), 0.0) {
  for (size_t u = 0; u < p.units(); ++u)
    if (!p.forced(u)) charge[u] = penalty * p.etc.at(u, static_cast<size_t>(p.at[u]));
}

Loads::Loads(const Weighted& view)
    : view_(&view),
      mapping_(view.units(), kNowhere),
      on_(view.nodes()),
      busy_(view.nodes()),
      longest_(view.nodes()),
      sum_(view.nodes()),
      width_(view.nodes()),
      memory_(view.nodes()),
      finish_(view.nodes()) {
  for (const double c : view.problem.cpus) per_cpu_.push_back(1 / c);
}

Loads::Loads(const Weighted& view, const Mapping& mapping) : Loads(view) {
  for (size_t u = 0; u < mapping.size(); ++u)
    if (mapping[u] != kNowhere) add(u, static_cast<size_t>(mapping[u]));
}

Loads::Node Loads::with(size_t n, size_t u) const {
  const double e = view_->at(u, n), w = view_->width(u, n);
  return {busy_[n] + e * w, std::max(longest_[n], e), sum_[n] + e, width_[n] + w};
}

// Made anew from its units: sums from which was taken what was added before drift away from 0.
Loads::Node Loads::without(size_t n, size_t u) const {
  Node out;
  for (const size_t other : on_[n]) {
    if (other == u) continue;
    const double e = view_->at(other, n), w = view_->width(other, n);
    out = {out.busy + e * w, std::max(out.longest, e), out.sum + e, out.width + w};
  }
  return out;
}

void Loads::put(size_t n, const Node& node) {
  flow_sum_ -= flow_of({busy_[n], longest_[n], sum_[n], width_[n]}, n);
  busy_[n] = node.busy, longest_[n] = node.longest, sum_[n] = node.sum, width_[n] = node.width;
  flow_sum_ += flow_of(node, n);
  finish_[n] = finish_of(node, n);
  top_known_ = false;
}

void Loads::add(size_t u, size_t n) {
  put(n, with(n, u));
  memory_[n] += view_->problem.memory[u];
  on_[n].push_back(u);
  mapping_[u] = static_cast<int>(n);
  ++placed_;
}

void Loads::remove(size_t u) {
  const auto n = static_cast<size_t>(mapping_[u]);
  put(n, without(n, u));
  std::erase(on_[n], u);
  memory_[n] = 0;
  for (const size_t other : on_[n]) memory_[n] += view_->problem.memory[other];
  mapping_[u] = kNowhere;
  --placed_;
}

void Loads::find_top() const {
  if (top_known_) return;
  top_ = {kNowhere, kNowhere, kNowhere};
  for (size_t n = 0; n < finish_.size(); ++n) {
    int candidate = static_cast<int>(n);
    for (int& place : top_)
      if (place == kNowhere || finish_[static_cast<size_t>(candidate)] > finish_[static_cast<size_t>(place)])
        std::swap(place, candidate);
  }
  top_known_ = true;
}

double Loads::makespan() const {
  find_top();
  return top_[0] == kNowhere ? 0 : finish_[static_cast<size_t>(top_[0])];
}

Objective Loads::objective() const { return {makespan(), placed_ == 0 ? 0 : flow_sum_ / static_cast<double>(placed_)}; }

Loads::If Loads::moved(size_t u, size_t n) const {
  const int from = mapping_[u];
  if (from == static_cast<int>(n)) return {value(), makespan(), flow_sum_};
  if (!fits(u, n)) return {};
  find_top();
  double sum = flow_sum_, most = 0;
  for (const int t : top_)
    if (t != kNowhere && t != from && t != static_cast<int>(n)) {
      most = finish_[static_cast<size_t>(t)];
      break;
    }
  const auto change = [&](size_t at, const Node& now) {
    sum += flow_of(now, at) - flow_of({busy_[at], longest_[at], sum_[at], width_[at]}, at);
    most = std::max(most, finish_of(now, at));
  };
  change(n, with(n, u));
  if (from != kNowhere) change(static_cast<size_t>(from), without(static_cast<size_t>(from), u));
  const double count = static_cast<double>(placed_ + (from == kNowhere ? 1 : 0));
  return {most + view_->settings.flow_weight * sum / count, most, sum};
}

Objective evaluate(const Problem& problem, const Mapping& mapping) {
  const Settings none;
  Weighted view(problem, none);
  std::ranges::fill(view.charge, 0.0);
  return Loads(view, mapping).objective();
}

Mapping staying(const Problem& problem) {
  Mapping out = problem.at;
  for (size_t u = 0; u < problem.units(); ++u)
    if (problem.forced(u)) out[u] = kNowhere;
  return out;
}

Loads only_fixed(const Weighted& view, std::vector<size_t>& open) {
  Loads loads(view);
  for (size_t u = 0; u < view.units(); ++u) {
    int only = kNowhere;
    size_t places = 0;
    for (size_t n = 0; n < view.nodes() && places < 2; ++n)
      if (view.problem.etc.at(u, n) != kNever) only = static_cast<int>(n), ++places;
    // At home it stays, even where memory is short.
    if (places == 1 && (only == view.problem.at[u] || loads.fits(u, static_cast<size_t>(only))))
      loads.add(u, static_cast<size_t>(only));
    else if (places > 1)
      open.push_back(u);
  }
  return loads;
}

// What decisions about large grids spend their time in: one pass over two rows, no call, no division, one rare branch.
Best Loads::soonest(size_t u) const {
  const Problem& p = view_->problem;
  const double* etc = p.etc.row(u);
  const double* cost = p.cost.row(u);
  const double width = p.width[u], memory = p.memory[u], charge = view_->charge[u];
  const int home = p.at[u];
  Best best;
  if (home != kNowhere) best = {home, completion(u, static_cast<size_t>(home))};
  for (size_t n = 0; n < finish_.size(); ++n) {
    const double e = etc[n] + cost[n] + charge;
    if (e >= best.completion) continue;  // it can't be done sooner than alone
    const double c = std::max(e, (busy_[n] + e * std::min(width, p.cpus[n])) * per_cpu_[n]);
    if (c < best.completion && memory_[n] + memory <= p.room[n] && static_cast<int>(n) != home)
      best = {static_cast<int>(n), c};
  }
  if (best.completion == kNever) best.node = kNowhere;
  return best;
}

}  // namespace godwit::sched
