// Units: placed, run, moved, lost, done.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "sim/world.h"

namespace godwit::sim {

namespace s4u = simgrid::s4u;
using sched::kNowhere;

namespace {
constexpr double kFlops = 1e9;
}

void World::submit(size_t job) {
  const JobSpec& spec = scenario_.jobs[job];
  // Units are in the order of their jobs.
  const auto begin = std::ranges::lower_bound(units_, job, {}, &UnitRow::job);
  size_t next = 0;
  for (auto it = begin; it != units_.end() && it->job == job; ++it, ++next) {
    const auto u = static_cast<size_t>(it - units_.begin());
    live_.push_back(u);
    int to = kNowhere;
    if (!spec.on.empty()) {
      const auto at = std::ranges::find(scenario_.nodes, spec.on[next % spec.on.size()], &NodeSpec::name);
      to = static_cast<int>(at - scenario_.nodes.begin());
      if (!nodes_[static_cast<size_t>(to)].present) to = kNowhere;
    }
    if (to == kNowhere) to = best_place(*it);
    if (to == kNowhere)
      waiting_.push_back(u);
    else
      start(u, to);
  }
}

double World::room(size_t n) const {
  const double memory = scenario_.nodes[n].memory;
  return memory > 0 ? memory - nodes_[n].pressure - nodes_[n].used : sched::kNever;
}

/// Where a new unit is done soonest if all that are there go on: what the controller does for `godwit run`, by load.
int World::best_place(const UnitRow& unit) const {
  const JobSpec& job = scenario_.jobs[unit.job];
  int best = kNowhere;
  double least = sched::kNever;
  for (size_t n = 0; n < nodes_.size(); ++n) {
    const NodeSpec& spec = scenario_.nodes[n];
    if (!nodes_[n].present || nodes_[n].state != sched::NodeState::kTakes || room(n) < job.memory) continue;
    if (!job.arch.empty() && !spec.arch.empty() && job.arch != spec.arch) continue;
    if (std::ranges::find(job.excluded, spec.name) != job.excluded.end()) continue;
    const double share = std::max(1.0, (nodes_[n].count + 1.0) / spec.cpus);
    if (const double time = share / (spec.speed * nodes_[n].factor); time < least)
      least = time, best = static_cast<int>(n);
  }
  return best;
}

void World::place_waiting() {
  for (const size_t u : std::exchange(waiting_, {})) {
    if (const int to = best_place(units_[u]); to != kNowhere)
      start(u, to);
    else
      waiting_.push_back(u);
  }
}

void World::start(size_t u, int to) {
  UnitRow& unit = units_[u];
  NodeRow& node = nodes_[static_cast<size_t>(to)];
  unit.state = UnitState::kRunning;
  unit.node = to;
  unit.began = s4u::Engine::get_clock();
  unit.saved = unit.remaining;
  node.used += scenario_.jobs[unit.job].memory;
  ++node.count;
  s4u::Actor::create("unit", node.host, [this, u, epoch = unit.epoch] {
    UnitRow& self = units_[u];
    const auto exec = s4u::this_actor::exec_init(self.remaining * kFlops);
    exec->set_host(nodes_[static_cast<size_t>(self.node)].host);
    self.exec = exec;
    exec->start();
    try {
      exec->wait();
    } catch (const simgrid::Exception&) {
      return;  // cancelled: its node vanished
    }
    if (units_[u].epoch == epoch) ended(u);
  })->daemonize();
}

double World::remaining(const UnitRow& unit) const {
  if (unit.state == UnitState::kDone) return 0;
  if (unit.state == UnitState::kWaiting || !unit.exec) return unit.remaining;
  // Activity's, not Exec's, which would let other actors run meanwhile.
  return std::max(0.0, unit.exec->s4u::Activity::get_remaining() / kFlops);
}

void World::ended(size_t u) {
  UnitRow& unit = units_[u];
  NodeRow& node = nodes_[static_cast<size_t>(unit.node)];
  node.used -= scenario_.jobs[unit.job].memory;
  --node.count;
  unit.state = UnitState::kDone;
  unit.remaining = 0;
  unit.exec = nullptr;
  ++unit.epoch;
  done_work_ += scenario_.jobs[unit.job].work;
  live_.erase(std::ranges::lower_bound(live_, u));
  JobRow& job = jobs_[unit.job];
  if (--job.left == 0) {
    job.done_at = s4u::Engine::get_clock();
    note(scenario_.jobs[unit.job].name + " is done");
    if (--jobs_left_ == 0) over_->release();
  }
  if (!waiting_.empty()) place_waiting();
}

/// What it would be restored from: the last of its regular checkpoints on this node, or how it came here.
double World::checkpointed(const UnitRow& unit) const {
  if (scenario_.checkpoint_every <= 0) return scenario_.jobs[unit.job].work;
  const double lived = s4u::Engine::get_clock() - unit.began, since = std::fmod(lived, scenario_.checkpoint_every);
  if (lived <= 0) return unit.saved;
  // Work since then, as if it had gone on evenly.
  const double left = remaining(unit);
  return std::min(unit.saved, left + (unit.saved - left) * since / lived);
}

void World::lose(size_t u) {
  UnitRow& unit = units_[u];
  NodeRow& node = nodes_[static_cast<size_t>(unit.node)];
  const double kept = checkpointed(unit), left = remaining(unit);
  run_.lost_work += std::max(0.0, kept - left);
  node.used -= scenario_.jobs[unit.job].memory;
  --node.count;
  const auto exec = std::exchange(unit.exec, nullptr);
  unit.remaining = kept;
  unit.state = UnitState::kWaiting;
  unit.node = kNowhere;
  ++unit.epoch;
  waiting_.push_back(u);
  if (exec) exec->cancel();
}

// --------------------------------------------------------------------------------------------------------------- moves

double World::link(int from, int to) const {
  const NodeSpec& a = scenario_.nodes[static_cast<size_t>(from)];
  const NodeSpec& b = scenario_.nodes[static_cast<size_t>(to)];
  const double wire = std::min(a.bandwidth, b.bandwidth);
  return a.site == b.site ? wire : std::min(wire, scenario_.backbone);
}

void World::carry_out() {
  while (moving_ < scenario_.moves_at_once && !wanted_.empty()) {
    const Wanted next = wanted_.front();
    const bool forced = next.why != sched::Why::kGain;
    if (!forced && moving_forced_ > 0) return;  // those that must go have the links for themselves
    wanted_.pop_front();
    UnitRow& unit = units_[next.unit];
    const auto to = static_cast<size_t>(next.to);
    if (unit.state != UnitState::kRunning || unit.moving || unit.node == next.to || !unit.exec) continue;
    if (nodes_[to].state != sched::NodeState::kTakes || room(to) < scenario_.jobs[unit.job].memory) continue;
    note(fmt::format("{}: {} → {}{}", unit.name, scenario_.nodes[static_cast<size_t>(unit.node)].name,
                     scenario_.nodes[to].name, forced ? ", it has to" : ""));
    unit.moving = true, unit.to = next.to;
    ++moving_;
    if (forced) ++moving_forced_;
    ++run_.moves;
    ++(sched::extends(next.after)   ? run_.after_extension
       : sched::shrinks(next.after) ? run_.after_shrink
                                    : run_.otherwise);
    nodes_[to].used += scenario_.jobs[unit.job].memory;
    ++nodes_[to].count;
    s4u::Actor::create("move", stage_host_, [this, u = next.unit, goal = next.to, forced, epoch = unit.epoch] {
      move(u, goal, epoch, forced);
    })->daemonize();
  }
}

/// What serves the move on both nodes takes their CPUs from the units there: on a slow node moves take long, and cost more than
/// the unit that is moved.
void World::work_for_move(int from, int to) const {
  std::vector<s4u::ExecPtr> all;
  for (const auto& [node, cpu] : {std::pair(from, scenario_.move_cpu_from), std::pair(to, scenario_.move_cpu_to)}) {
    if (cpu <= 0) continue;
    const auto exec = s4u::this_actor::exec_init(cpu * kFlops);
    exec->set_host(nodes_[static_cast<size_t>(node)].host);
    exec->set_priority(scenario_.move_weight);
    exec->start();
    all.push_back(exec);
  }
  for (const auto& exec : all) exec->wait();
}

/// Streams its memory while it runs, freezes it, goes on there. The numbers are those of the prediction, the time on the link is
/// SimGrid's: other moves have their share of it.
void World::move(size_t u, int to, int epoch, bool forced) {
  UnitRow& unit = units_[u];
  const JobSpec& job = scenario_.jobs[unit.job];
  const int from = unit.node;
  const sched::MoveCost cost = sched::predict(scenario_.cost, job.memory, job.dirty_rate, link(from, to));
  const auto over = [&] { return unit.epoch != epoch || !nodes_[static_cast<size_t>(to)].present; };
  s4u::this_actor::sleep_for(scenario_.cost.setup_s);
  work_for_move(from, to);
  if (!over()) {
    if (!scenario_.cost.live) unit.exec->suspend();
    const double freeze = scenario_.cost.live ? cost.downtime_s : scenario_.cost.fixed_s;
    s4u::Comm::sendto(nodes_[static_cast<size_t>(from)].host, nodes_[static_cast<size_t>(to)].host,
                      static_cast<uint64_t>(std::max(1.0, cost.bytes)));
    if (!over()) {
      if (scenario_.cost.live) unit.exec->suspend();
      // What it lost of its speed while pages streamed is counted as if it had stood still for that long.
      const double slowed = scenario_.cost.live ? cost.lost_s - cost.downtime_s : 0;
      s4u::this_actor::sleep_for(freeze + slowed);
    }
    if (!over()) {
      unit.saved = remaining(unit);
      unit.began = unit.moved_at = s4u::Engine::get_clock();
      nodes_[static_cast<size_t>(from)].used -= job.memory;
      --nodes_[static_cast<size_t>(from)].count;
      nodes_[static_cast<size_t>(to)].used += job.memory;  // what was held for it is given back below
      ++nodes_[static_cast<size_t>(to)].count;
      unit.node = to;
      run_.moved_bytes += cost.bytes;
      unit.exec->set_host(nodes_[static_cast<size_t>(to)].host);
    }
    // Not this incarnation's execution if the unit was lost meanwhile.
    if (unit.epoch == epoch && unit.exec) unit.exec->resume();
  }
  nodes_[static_cast<size_t>(to)].used -= job.memory;
  --nodes_[static_cast<size_t>(to)].count;
  unit.moving = false, unit.to = kNowhere;
  --moving_;
  if (forced) --moving_forced_;
  carry_out();
  if (!waiting_.empty()) place_waiting();
}

}  // namespace godwit::sim
