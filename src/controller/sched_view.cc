#include "controller/sched_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "controller/decide.h"

namespace godwit::controller {
namespace {

using sched::EventKind;
using sched::kNowhere;

constexpr const char* kWork = "sched.work.";
constexpr const char* kBefore = "sched.before.";
constexpr double kCrowded = 0.9;  // of its CPUs in use
constexpr double kLeastWidth = 0.05;

double or_one(double value) { return value > 0 ? value : 1; }

double phase_ms(const wire::Report& report, std::string_view name) {
  for (const auto& p : report.phases())
    if (p.name() == name) return p.ms();
  return 0;
}

/// Of the last move of this unit that says something about it.
double dirty_rate(const State& state, const std::string& unit) {
  double rate = 0;
  int64_t latest = -1;
  for (const auto& [id, m] : state.migrations) {
    if (m.unit() != unit || m.state() != wire::COMMITTED || m.time_ms() <= latest) continue;
    const wire::Report& r = m.report();
    const double ms = phase_ms(r, "precopy");
    const double again = static_cast<double>(r.bytes_raw()) - static_cast<double>(r.memory_bytes() + r.files_bytes());
    if (r.rounds() < 2 || ms < 1 || again <= 0) continue;
    latest = m.time_ms();
    rate = again / (ms / 1000);
  }
  return rate;
}

std::map<std::string, int64_t> last_moves(const State& state) {
  std::map<std::string, int64_t> out;
  for (const auto& [id, m] : state.migrations)
    if (m.state() == wire::COMMITTED) out[m.unit()] = std::max(out[m.unit()], m.time_ms());
  return out;
}

std::optional<double> learned_work(const State& state, const std::string& key) {
  const auto it = state.meta.find(kWork + key);
  if (it == state.meta.end()) return std::nullopt;
  std::istringstream in(it->second);
  double log_mean = 0;
  if (!(in >> log_mean) || !std::isfinite(log_mean)) return std::nullopt;
  return std::exp(log_mean);
}

sched::Progress progress(const State& state, const wire::Unit& unit) {
  const auto& activity = unit.load().activity();
  sched::ProgressFacts facts;
  facts.cpu_seconds = work_done(state, unit);
  if (activity.total() > 0) {
    if (activity.source() == "said")
      facts.said_done = activity.done(), facts.said_total = activity.total();
    else
      facts.read_bytes = activity.done(), facts.input_bytes = activity.total();
  }
  facts.learned_work = learned_work(state, program_key(unit.spec()));
  return sched::progress_of(facts);
}

void add_links(const State& state, const std::map<std::string, int>& index, sched::Situation& now) {
  std::vector<sched::MoveRecord> records;
  std::vector<const wire::Migration*> moves;
  for (const auto& [id, m] : state.migrations)
    if (m.state() == wire::COMMITTED && m.report().total_ms() > 0) moves.push_back(&m);
  std::ranges::sort(moves, {}, [](const auto* m) { return m->time_ms(); });
  for (const auto* m : moves) {
    const auto from = index.find(m->from()), to = index.find(m->to());
    const double seconds = (phase_ms(m->report(), "precopy") + phase_ms(m->report(), "transfer")) / 1000;
    if (from != index.end() && to != index.end())
      now.links.saw(from->second, to->second, static_cast<double>(m->report().bytes_sent()), seconds);
  }
  for (const auto* m : moves) {
    const auto from = index.find(m->from()), to = index.find(m->to());
    if (from == index.end() || to == index.end()) continue;
    const auto predicted = sched::predict(now.cost, static_cast<double>(m->report().memory_bytes()),
                                          dirty_rate(state, m->unit()), now.links.speed(from->second, to->second));
    records.push_back({m->report().total_ms() / 1000, predicted.total_s});
  }
  now.cost = sched::learned(now.cost, records);
}

sched::Node node_of(const State& state, const Now& now, const wire::NodeInfo& info, const SchedEvent& event) {
  const auto& load = info.load();
  const auto& activity = load.activity();
  sched::Node node{info.name()};
  switch (node_state(state, now, info)) {
    case wire::READY: node.state = sched::NodeState::kTakes; break;
    case wire::CORDONED: node.state = sched::NodeState::kKeeps; break;
    default: node.state = sched::NodeState::kGone;
  }
  if (event.node == info.name()) {
    if (event.kind == EventKind::kJoin) node.state = sched::NodeState::kTakes;
    if (event.kind == EventKind::kVanish) node.state = sched::NodeState::kGone;
  }
  double ours = 0, memory = 0;
  for (const auto& [id, unit] : state.units) {
    if (unit.node() != info.name() || unit.state() != wire::RUNNING) continue;
    ours += unit.load().activity().cpu_rate();
    memory += static_cast<double>(unit.load().memory_bytes());
  }
  node.speed = or_one(activity.speed());
  const double cpus = activity.cpus() > 0 ? activity.cpus() : std::max(1u, load.cpus());
  const double foreign = std::max(0.0, activity.cpu_busy() - ours);
  node.cpus = std::max(0.1 * cpus, cpus - foreign);
  if (load.memory_bytes() > 0) node.memory = static_cast<double>(load.memory_free_bytes()) + memory;
  node.arch = info.arch();
  return node;
}

}  // namespace

Outcome<SchedEvent> parse_event(const State& state, const std::string& word) {
  if (word.empty() || word == "load") return SchedEvent{};
  const size_t colon = word.find(':');
  const std::string kind = word.substr(0, colon);
  for (const EventKind k : {EventKind::kJoin, EventKind::kLeave, EventKind::kDrain, EventKind::kVanish,
                            EventKind::kSlow, EventKind::kPressure, EventKind::kSpot}) {
    if (sched::event_word(k) != kind) continue;
    if (colon == std::string::npos) return failure(Code::kUsage, fmt::format("which node? write {}:NODE", kind));
    TRY(const wire::NodeInfo node, find_node(state, word.substr(colon + 1)));
    return SchedEvent{k, node.name()};
  }
  return failure(Code::kUsage,
                 fmt::format("no event \"{}\"; there are load, join:NODE, leave:NODE, drain:NODE, vanish:NODE, "
                             "slow:NODE, pressure:NODE, spot:NODE",
                             word));
}

std::string program_key(const wire::UnitSpec& spec) {
  if (spec.argv().empty()) return "";
  std::string key = spec.argv(0).substr(spec.argv(0).rfind('/') + 1);
  for (int i = 1; i < spec.argv_size() && key.size() < 200; ++i)
    if (const auto& word = spec.argv(i); word.size() > 1 && word.front() == '-')
      key += " " + word.substr(0, word.find('='));
  return key;
}

SchedView sched_view(const State& state, const Now& now, const SchedEvent& event) {
  SchedView view;
  std::map<std::string, int> index;
  for (const auto& [name, info] : state.nodes) {
    index[name] = static_cast<int>(view.nodes.size());
    view.nodes.push_back(name);
    view.now.nodes.push_back(node_of(state, now, info, event));
  }
  view.now.event.kind = event.kind;
  if (const auto it = index.find(event.node); it != index.end()) view.now.event.node = it->second;
  add_links(state, index, view.now);

  const auto moved = last_moves(state);
  for (const auto& [id, unit] : state.units) {
    if (unit.state() != wire::RUNNING || !index.contains(unit.node())) continue;
    const auto* open = open_migration(state, id);
    const int home = index.at(unit.node());
    const auto& info = state.nodes.at(unit.node());
    if (is_gone(state, now, unit.node())) continue;  // lost, as far as anybody knows: nothing can be moved
    const auto done = progress(state, unit);
    sched::Unit row{id};
    row.node = open && index.contains(open->to()) ? index.at(open->to()) : home;
    row.total = done.total, row.finished = done.finished;
    const auto& node = view.now.nodes[static_cast<size_t>(home)];
    const bool crowded = info.load().activity().cpu_busy() > kCrowded * or_one(info.load().activity().cpus());
    const double rate = unit.load().activity().cpu_rate();
    row.width = std::max(kLeastWidth, crowded && rate > kLeastWidth ? std::max(rate, std::min(1.0, node.cpus)) : rate);
    row.memory = static_cast<double>(unit.load().memory_bytes());
    row.dirty_rate = dirty_rate(state, id);
    if (const auto it = moved.find(id); it != moved.end())
      row.moved_ago = static_cast<double>(now.wall_ms - it->second) / 1000;
    row.pinned = unit.spec().pinned() || open != nullptr || unit.load().arriving() || unit.load().frozen();
    row.excluded.assign(unit.spec().avoid().begin(), unit.spec().avoid().end());
    const Fits fits = fits_of(state, unit);
    for (const auto& [name, other] : state.nodes)
      if (!takes(other, fits)) row.excluded.push_back(name);
    view.now.units.push_back(row);
    view.units.push_back(id);
    view.sources.push_back(done.source);
  }
  return view;
}

double work_done(const State& state, const wire::Unit& unit) {
  double before = 0;
  if (const auto it = state.meta.find(kBefore + unit.id()); it != state.meta.end()) {
    std::istringstream in(it->second);
    if (!(in >> before) || !(before >= 0)) before = 0;
  }
  // Until the new node has been heard of, what is known of its processes is what the old one said.
  if (unit.load().epoch() != unit.epoch()) return before;
  const auto node = state.nodes.find(unit.node());
  const double speed = node == state.nodes.end() ? 1 : or_one(node->second.load().activity().speed());
  return before + unit.load().cpu_seconds() * speed;
}

void keep_work(const State& state, const wire::Unit& unit, Changes& changes) {
  if (const double work = work_done(state, unit); work > 0)
    changes.meta.emplace_back(kBefore + unit.id(), fmt::format("{:.3f}", work));
}

Changes learn(const State& state, const wire::Unit& unit) {
  Changes changes;
  const double work = work_done(state, unit);
  if (unit.exit().status() != 0 || unit.exit().signal() != 0 || work < 1) return changes;
  const std::string key = program_key(unit.spec());
  double log_mean = 0, count = 0;
  if (const auto it = state.meta.find(kWork + key); it != state.meta.end()) {
    std::istringstream in(it->second);
    if (!(in >> log_mean >> count)) count = 0;
  }
  // As sched::History does it: the newest run counts a fourth at least.
  log_mean += std::max(0.25, 1 / (count + 1)) * (std::log(work) - (count > 0 ? log_mean : 0));
  changes.meta.emplace_back(kWork + key, fmt::format("{:.6f} {:.0f}", log_mean, count + 1));
  return changes;
}

}  // namespace godwit::controller
