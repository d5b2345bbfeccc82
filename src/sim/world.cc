// The grid and what happens to it. Units and moves: world_units.cc.
#include "sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

namespace godwit::sim {

namespace s4u = simgrid::s4u;
using sched::EventKind;
using sched::kNowhere;

namespace {
constexpr double kFlops = 1e9;  // of a CPU of speed 1, per second: any number would do
constexpr double kRestart = 5;  // seconds until it's known that a node has vanished
constexpr double kGather = 0.1;  // what happens within this time is decided together: two nodes that join are one event
}  // namespace

World::World(const Scenario& scenario, const sched::Choice& choice, bool with_log)
    : scenario_(scenario), choice_(choice), with_log_(with_log), random_(scenario.seed) {
  run_.policy = sched::full_name(choice);
}

// Each site a star of its nodes' links; between two sites one backbone.
void World::build() {
  std::map<std::string, std::vector<size_t>> sites;
  for (size_t n = 0; n < scenario_.nodes.size(); ++n) sites[scenario_.nodes[n].site].push_back(n);
  nodes_.resize(scenario_.nodes.size());
  // Every factor that a node will have is one of its frequencies.
  std::vector<std::vector<double>> factors(nodes_.size(), {1});
  for (const auto& e : scenario_.events)
    for (size_t n = 0; n < nodes_.size(); ++n)
      if (e.kind == EventKind::kSlow && e.node == scenario_.nodes[n].name) factors[n].push_back(e.value);
  auto* root = s4u::create_full_zone("grid");
  std::vector<simgrid::kernel::routing::NetPoint*> gates;
  std::vector<s4u::NetZone*> zones;
  for (const auto& [site, members] : sites) {
    auto* zone = s4u::create_star_zone("site-" + site);
    zone->set_parent(root);
    for (const size_t n : members) {
      const NodeSpec& spec = scenario_.nodes[n];
      std::vector<double> speeds;
      for (const double f : factors[n]) speeds.push_back(f * spec.speed * kFlops);
      auto* host = zone->create_host("node-" + spec.name, speeds)->set_core_count(spec.cpus)->seal();
      auto* wire = zone->create_link("link-" + spec.name, spec.bandwidth)->set_latency(scenario_.latency)->seal();
      zone->add_route(host->get_netpoint(), nullptr, nullptr, nullptr, {s4u::LinkInRoute(wire)}, true);
      nodes_[n].host = host;
      nodes_[n].present = spec.present;
      if (!spec.present) nodes_[n].state = sched::NodeState::kGone;
    }
    auto* gate = zone->create_router("gate-" + site);
    zone->seal();
    gates.push_back(gate);
    zones.push_back(zone);
  }
  for (size_t a = 0; a < gates.size(); ++a)
    for (size_t b = a + 1; b < gates.size(); ++b) {
      auto* wire = root->create_link(fmt::format("backbone-{}-{}", a, b), scenario_.backbone)->seal();
      root->add_route(zones[a]->get_netpoint(), zones[b]->get_netpoint(), gates[a], gates[b], {s4u::LinkInRoute(wire)},
                      true);
    }
  root->seal();
  stage_host_ = nodes_.front().host;
}

Run World::run() {
  build();
  for (const auto& job : scenario_.jobs) {
    jobs_.push_back({job.processes, 0});
    for (int i = 0; i < job.processes; ++i) {
      UnitRow unit;
      unit.job = jobs_.size() - 1;
      unit.name = job.processes == 1 ? job.name : fmt::format("{}.{}", job.name, i + 1);
      unit.remaining = unit.saved = job.work;
      if (scenario_.noise > 0) unit.predicted = std::exp(scenario_.noise * random_.normal());
      units_.push_back(unit);
    }
  }
  jobs_left_ = jobs_.size();
  over_ = s4u::Semaphore::create(0);
  const auto daemon = [&](const char* name, const std::function<void()>& body) {
    s4u::Actor::create(name, stage_host_, body)->daemonize();
  };
  stage("start");
  daemon("jobs", [this] {
    for (size_t j = 0; j < scenario_.jobs.size(); ++j) {
      s4u::this_actor::sleep_until(scenario_.jobs[j].at);
      submit(j);
      ++submitted_;
    }
  });
  daemon("events", [this] {
    for (const auto& e : scenario_.events) {
      s4u::this_actor::sleep_until(e.at);
      handle(e);
      ++told_;
    }
  });
  if (scenario_.tick > 0)
    daemon("ticks", [this] {
      for (;;) {
        s4u::this_actor::sleep_for(scenario_.tick);
        look();
      }
    });
  const auto churning = static_cast<size_t>(scenario_.churn.share * static_cast<double>(nodes_.size()));
  for (size_t n = nodes_.size() - churning; n < nodes_.size(); ++n) daemon("churn", [this, n] { churn(n); });
  s4u::Actor::create("end", stage_host_, [this] {
    over_->acquire();
    // What is decided from here on would be about nothing.
    count_time();
    stage("end");
    run_.makespan = s4u::Engine::get_clock();
  });
  s4u::Engine::get_instance()->run();
  return result();
}

// ------------------------------------------------------------------------------------------------------------- events

void World::handle(const EventSpec& e) {
  const auto at = std::ranges::find(scenario_.nodes, e.node, &NodeSpec::name);
  const auto n = static_cast<size_t>(at - scenario_.nodes.begin());
  NodeRow& node = nodes_[n];
  switch (e.kind) {
    case EventKind::kJoin: join(n); break;
    case EventKind::kLeave:
    case EventKind::kSpot:
      if (node.present) leave(n, e.kind, e.notice);
      break;
    case EventKind::kVanish:
      if (node.present) vanish(n, e.kind);
      break;
    case EventKind::kDrain:
      if (!node.present) break;
      node.state = sched::NodeState::kLeaving;
      stage("drain " + e.node);
      ask({e.kind, static_cast<int>(n)});
      break;
    case EventKind::kSlow: {
      count_time();
      node.factor = e.value;
      for (unsigned long i = 0; i < node.host->get_pstate_count(); ++i)
        if (std::abs(node.host->get_pstate_speed(i) - e.value * scenario_.nodes[n].speed * kFlops) < 1)
          node.host->set_pstate(i);
      stage(fmt::format("slow {} to {:g}", e.node, e.value));
      ask({e.kind, static_cast<int>(n)});
      break;
    }
    case EventKind::kPressure:
      node.pressure = e.value;
      stage("pressure on " + e.node);
      ask({e.kind, static_cast<int>(n)});
      break;
    default: break;
  }
}

void World::join(size_t n) {
  NodeRow& node = nodes_[n];
  if (node.present && node.state == sched::NodeState::kTakes) return;
  count_time();
  ++node.life;
  node.present = true;
  node.state = sched::NodeState::kTakes;
  stage("join " + scenario_.nodes[n].name);
  place_waiting();
  ask({EventKind::kJoin, static_cast<int>(n)});
}

void World::leave(size_t n, EventKind kind, double notice) {
  NodeRow& node = nodes_[n];
  if (notice <= 0) return vanish(n, kind);
  node.state = sched::NodeState::kLeaving;
  stage(fmt::format("{} {} in {:g} s", sched::event_word(kind), scenario_.nodes[n].name, notice));
  ask({kind, static_cast<int>(n)});
  later(
      notice,
      [this, n, kind, life = node.life] {
        if (nodes_[n].life == life && nodes_[n].present) vanish(n, kind);
      },
      "leave");
}

void World::vanish(size_t n, EventKind kind) {
  NodeRow& node = nodes_[n];
  count_time();
  node.present = false;
  node.state = sched::NodeState::kGone;
  ++node.life;
  std::vector<size_t> lost;
  for (const size_t u : live_)
    if (units_[u].node == static_cast<int>(n)) lost.push_back(u);
  stage(fmt::format("{} is gone, with {} units", scenario_.nodes[n].name, lost.size()));
  for (const size_t u : lost) lose(u);
  if (!lost.empty()) later(kRestart, [this] { place_waiting(); }, "restart");
  if (kind == EventKind::kVanish) ask({kind, static_cast<int>(n)});
}

void World::churn(size_t n) {
  sched::Random random(scenario_.seed * 1'000'003 + n);
  const Churn& c = scenario_.churn;
  for (;;) {
    s4u::this_actor::sleep_for(random.exponential(c.every));
    const bool vanishes = random.chance(c.vanish);
    if (nodes_[n].present) leave(n, vanishes ? EventKind::kVanish : EventKind::kLeave, vanishes ? 0 : c.notice);
    s4u::this_actor::sleep_for(random.exponential(c.away) + (vanishes ? 0 : c.notice));
    join(n);
  }
}

/// Nothing runs, nothing comes any more, and what waits fits nowhere: time would go on without end.
bool World::stuck() const {
  const bool idle = moving_ == 0 && std::ranges::all_of(nodes_, [](const NodeRow& n) { return n.count == 0; });
  return idle && told_ == scenario_.events.size() && submitted_ == scenario_.jobs.size() && scenario_.churn.share == 0;
}

void World::look() {
  place_waiting();
  if (stuck()) return over_->release();
  if (choice_.policy->name != "none") reschedule({EventKind::kLoad, kNowhere});
}

/// A decision is due. One that a shrinking grid asks for is made as such, whatever else happened.
void World::ask(sched::Event event) {
  if (asked_) {
    if (sched::shrinks(event.kind)) asked_ = event;
    return;
  }
  asked_ = event;
  later(kGather, [this] { reschedule(*std::exchange(asked_, std::nullopt)); }, "decision");
}

// ----------------------------------------------------------------------------------------------------------- decisions

sched::Situation World::situation(sched::Event event) const {
  sched::Situation now;
  now.cost = scenario_.cost;
  now.event = event;
  now.cooldown_s = scenario_.cooldown;
  now.links = sched::Links(scenario_.nodes.front().bandwidth);
  for (size_t n = 0; n < nodes_.size(); ++n) {
    const NodeSpec& spec = scenario_.nodes[n];
    const NodeRow& row = nodes_[n];
    const double memory = spec.memory > 0 ? std::max(1.0, spec.memory - row.pressure) : 0;
    now.nodes.push_back(
        {spec.name, row.state, spec.speed * row.factor, static_cast<double>(spec.cpus), memory, spec.arch});
  }
  const double clock = s4u::Engine::get_clock();
  for (const size_t u : live_) {
    const UnitRow& row = units_[u];
    const JobSpec& job = scenario_.jobs[row.job];
    sched::Unit unit{row.name};
    unit.node = row.moving ? row.to : row.node;
    const double left = remaining(row);
    unit.finished = job.work - left;
    // A prediction that time has refuted is worth as much as none: it goes on as long as it has lasted.
    unit.total = job.work * row.predicted;
    if (unit.total <= unit.finished) unit.total = unit.finished + std::max(10.0, unit.finished);
    unit.memory = job.memory;
    unit.dirty_rate = job.dirty_rate;
    unit.moved_ago = row.moving ? 0 : clock - row.moved_at;
    unit.arch = job.arch;
    unit.pinned = job.pinned || row.moving;
    unit.excluded = job.excluded;
    now.units.push_back(unit);
  }
  return now;
}

void World::reschedule(sched::Event event) {
  if (live_.empty()) return;
  sched::Situation now = situation(event);
  if (scenario_.nodes.size() <= 64)
    for (size_t a = 0; a < nodes_.size(); ++a)
      for (size_t b = 0; b < nodes_.size(); ++b)
        if (a != b)
          now.links.set(static_cast<int>(a), static_cast<int>(b), link(static_cast<int>(a), static_cast<int>(b)));
  sched::Choice choice = choice_;
  choice.settings.seed += round_++;
  const auto began = std::chrono::steady_clock::now();
  const sched::Plan plan = sched::decide(choice, sched::make_problem(now));
  run_.decisions_s += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  wanted_.clear();
  for (const auto& m : plan.moves) {
    const size_t u = live_[static_cast<size_t>(m.unit)];
    if (units_[u].state == UnitState::kRunning && !units_[u].moving) wanted_.push_back({u, m.to, m.why, event.kind});
  }
  for (const int u : plan.stuck)
    if (units_[live_[static_cast<size_t>(u)]].state == UnitState::kRunning)
      note(fmt::format("{} has to go and fits nowhere", units_[live_[static_cast<size_t>(u)]].name));
  carry_out();
}

// ---------------------------------------------------------------------------------------------------------- accounting

double World::capacity() const {
  double sum = 0;
  for (size_t n = 0; n < nodes_.size(); ++n)
    if (nodes_[n].present) sum += scenario_.nodes[n].speed * nodes_[n].factor * scenario_.nodes[n].cpus;
  return sum;
}

void World::count_time() {
  const double now = s4u::Engine::get_clock();
  capacity_sum_ += (now - counted_until_) * capacity();
  counted_until_ = now;
}

double World::finished_work() {
  double sum = done_work_;
  for (const size_t u : live_) sum += scenario_.jobs[units_[u].job].work - remaining(units_[u]);
  return sum;
}

void World::stage(const std::string& what) {
  note(what);
  // Stages are for scenarios with a handful of events; with churn they would be a list without an end.
  if (scenario_.churn.share > 0) return;
  count_time();
  const double now = s4u::Engine::get_clock(), work = finished_work();
  if (!run_.stages.empty()) {
    Stage& last = run_.stages.back();
    last.to = now, last.work = work - stage_work_, last.capacity = capacity_sum_ - stage_capacity_;
    if (last.to == last.from) run_.stages.pop_back();
  }
  stage_work_ = work, stage_capacity_ = capacity_sum_;
  if (what != "end") run_.stages.push_back({now, now, what, 0, 0});
}

void World::note(const std::string& text) {
  if (with_log_) run_.log.push_back(fmt::format("{:10.2f} {}", s4u::Engine::get_clock(), text));
}

void World::later(double seconds, const std::function<void()>& what, const char* name) {
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): SimGrid has the function until the actor ends.
  s4u::Actor::create(name, stage_host_, [seconds, what] {
    s4u::this_actor::sleep_for(seconds);
    what();
  })->daemonize();
}

Run World::result() {
  double turnaround = 0, slowdown = 0;
  for (size_t j = 0; j < jobs_.size(); ++j) {
    if (jobs_[j].left > 0) continue;
    ++run_.jobs;
    const double lasted = jobs_[j].done_at - scenario_.jobs[j].at;
    turnaround += lasted;
    slowdown += std::max(1.0, lasted / std::max(10.0, scenario_.jobs[j].work));
  }
  const double count = std::max<double>(1, static_cast<double>(run_.jobs));
  run_.turnaround = turnaround / count, run_.slowdown = slowdown / count;
  run_.jobs_per_hour = run_.makespan > 0 ? 3600 * static_cast<double>(run_.jobs) / run_.makespan : 0;
  run_.efficiency = capacity_sum_ > 0 ? done_work_ / capacity_sum_ : 0;
  run_.unplaced = live_.size();
  return run_;
}

}  // namespace godwit::sim
