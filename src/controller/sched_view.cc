#include "controller/sched_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/pki.h"
#include "controller/delegated.h"
#include "controller/leave.h"

namespace godwit::controller {
namespace {

using sched::EventKind;
using sched::kNowhere;

constexpr const char* kWork = "sched.work.";
constexpr const char* kAt = "sched.at.";
constexpr double kCrowded = 0.9;  // of its CPUs in use
// Where a quota is dealt out in small slices a full node uses less: then in half of the time something waits for a CPU.
constexpr double kWaiting = 50, kHalf = 0.5;
constexpr double kLeastWidth = 0.05;
constexpr double kSettled = 1;  // CPU seconds in its place after which a rate of 0 means that it does nothing

double or_one(double value) { return value > 0 ? value : 1; }

double phase_ms(const wire::Report& report, std::string_view name) {
  for (const auto& p : report.phases())
    if (p.name() == name) return p.ms();
  return 0;
}

/// As past moves showed them; of a unit that wasn't moved yet, what another one of the same program did. One pass over the moves,
/// as there are many more of them than units.
class DirtyRates {
 public:
  explicit DirtyRates(const State& state) {
    for (const auto& [id, m] : state.migrations) {
      if (m.state() != wire::COMMITTED) continue;
      const wire::Report& r = m.report();
      const double ms = phase_ms(r, "precopy");
      const double again = static_cast<double>(r.bytes_raw()) - static_cast<double>(r.memory_bytes() + r.files_bytes());
      if (r.rounds() < 2 || ms < 1 || again <= 0) continue;  // it says nothing about that
      const Seen seen{m.time_ms(), again / (ms / 1000)};
      keep(of_unit_[m.unit()], seen);
      if (const auto unit = state.units.find(m.unit()); unit != state.units.end())
        keep(of_program_[program_key(unit->second.spec())], seen);
    }
  }
  [[nodiscard]] double of(const wire::Unit& unit) const {
    if (const auto it = of_unit_.find(unit.id()); it != of_unit_.end()) return it->second.rate;
    const auto it = of_program_.find(program_key(unit.spec()));
    return it == of_program_.end() ? 0 : it->second.rate;
  }

 private:
  struct Seen {
    int64_t time_ms = -1;
    double rate = 0;
  };
  static void keep(Seen& latest, const Seen& seen) {
    if (seen.time_ms > latest.time_ms) latest = seen;
  }
  std::map<std::string, Seen> of_unit_, of_program_;
};

std::map<std::string, int64_t> last_moves(const State& state) {
  std::map<std::string, int64_t> out;
  for (const auto& [id, m] : state.migrations)
    if (m.state() == wire::COMMITTED) out[m.unit()] = std::max(out[m.unit()], m.time_ms());
  return out;
}

/// A row of the history: "LOG_MEAN COUNT ENDED_MS".
struct Learned {
  sched::History history;
  int64_t ended_ms = 0;  ///< when it was last added to; 0: rows of older versions don't say
};
Learned parse_learned(const std::string& text) {
  std::istringstream in(text);
  Learned out;
  if (!(in >> out.history.log_mean >> out.history.count) || !std::isfinite(out.history.log_mean)) return {};
  if (!(in >> out.ended_ms)) out.ended_ms = 0;
  return out;
}

std::optional<double> learned_work(const State& state, const std::string& key) {
  const auto it = state.meta.find(kWork + key);
  return it == state.meta.end() ? std::nullopt : parse_learned(it->second).history.work();
}

/// "WORK SOURCE DONE TOTAL RATE"; the source is "-" where it isn't known.
struct Kept {
  double work = 0;
  std::string source;
  double done = 0, total = 0;
  double rate = 0;  ///< CPUs that it used
};
Kept parse_kept(const State& state, const std::string& key) {
  Kept out;
  const auto it = state.meta.find(key);
  if (it == state.meta.end()) return out;
  std::istringstream in(it->second);
  if (!(in >> out.work) || !std::isfinite(out.work) || out.work < 0) return {};
  if (!(in >> out.source >> out.done >> out.total >> out.rate)) out = {out.work};
  return out;
}

/// What the node says of this incarnation of the unit; until it has been heard of, what was kept.
Kept known(const State& state, const wire::Unit& unit) {
  Kept out = parse_kept(state, work_before_key(unit.id()));
  const auto& load = unit.load();
  if (load.epoch() != unit.epoch()) return out;
  const auto node = state.nodes.find(unit.node());
  out.work += load.cpu_seconds() * (node == state.nodes.end() ? 1 : or_one(node->second.load().activity().speed()));
  const auto& activity = load.activity();
  if (activity.total() > 0) out.source = activity.source(), out.done = activity.done(), out.total = activity.total();
  // The first look at a process gives no rate.
  if (activity.cpu_rate() > 0 || load.cpu_seconds() > kSettled) out.rate = activity.cpu_rate();
  return out;
}

std::string record(const Kept& kept) {
  return fmt::format("{:.3f} {} {:.17g} {:.17g} {:.4f}", kept.work, kept.source.empty() ? "-" : kept.source, kept.done,
                     kept.total, kept.rate);
}

sched::Progress progress(const State& state, const wire::Unit& unit) {
  const Kept is = known(state, unit);
  sched::ProgressFacts facts;
  facts.cpu_seconds = is.work;
  if (is.total > 0 && is.source == "said")
    facts.said_done = is.done, facts.said_total = is.total;
  else if (is.total > 0)
    facts.read_bytes = is.done, facts.input_bytes = is.total;
  facts.learned_work = learned_work(state, program_key(unit.spec()));
  return sched::progress_of(facts);
}

void add_links(const State& state, const std::map<std::string, int>& index, const DirtyRates& dirty,
               sched::Situation& now) {
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
    const auto unit = state.units.find(m->unit());
    const double rate = unit == state.units.end() ? 0 : dirty.of(unit->second);
    const auto predicted = sched::predict(now.cost, static_cast<double>(m->report().memory_bytes()), rate,
                                          now.links.speed(from->second, to->second));
    records.push_back({m->report().total_ms() / 1000, predicted.total_s});
  }
  now.cost = sched::learned(now.cost, records);
}

/// What units of a node use of it.
struct Used {
  double cpus = 0, memory = 0;
};
std::map<std::string, Used> used_by_units(const State& state) {
  std::map<std::string, Used> out;
  for (const auto& [id, unit] : state.units) {
    if (unit.state() != wire::RUNNING) continue;
    Used& used = out[unit.node()];
    used.cpus += unit.load().activity().cpu_rate();
    used.memory += static_cast<double>(unit.load().memory_bytes());
  }
  return out;
}

/// Its units would use more if they could.
bool is_crowded(const wire::NodeInfo& info) {
  const auto& activity = info.load().activity();
  const double cpus = or_one(activity.cpus());
  return activity.cpu_busy() > kCrowded * cpus ||
         (activity.cpu_busy() > kHalf * cpus && activity.cpu_pressure() > kWaiting);
}

sched::Node node_of(const State& state, const Now& now, const wire::NodeInfo& info, const Used& ours,
                    const SchedEvent& event) {
  const auto& load = info.load();
  const auto& activity = load.activity();
  sched::Node node{info.name()};
  switch (node_state(state, now, info)) {
    case wire::READY: node.state = sched::NodeState::kTakes; break;
    case wire::CORDONED: node.state = sched::NodeState::kKeeps; break;
    default: node.state = sched::NodeState::kGone;
  }
  if (leaves(info) && node.state != sched::NodeState::kGone) node.state = sched::NodeState::kLeaving;
  if (event.node == info.name()) {
    if (event.kind == EventKind::kJoin) node.state = sched::NodeState::kTakes;
    if (event.kind == EventKind::kVanish) node.state = sched::NodeState::kGone;
  }
  node.speed = or_one(activity.speed());
  const double cpus = activity.cpus() > 0 ? activity.cpus() : std::max(1u, load.cpus());
  const double foreign = std::max(0.0, activity.cpu_busy() - ours.cpus);
  node.cpus = std::max(0.1 * cpus, cpus - foreign);
  if (load.memory_bytes() > 0) node.memory = static_cast<double>(load.memory_free_bytes()) + ours.memory;
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
  constexpr size_t kMostKey = 200, kHead = 160;
  if (spec.argv().empty()) return "";
  std::string key = spec.argv(0).substr(spec.argv(0).rfind('/') + 1);
  for (int i = 1; i < spec.argv_size(); ++i)
    if (const auto& word = spec.argv(i); word.size() > 1 && word.front() == '-')
      key += " " + word.substr(0, word.find('='));
  // What is too long to be kept still tells one program from another.
  if (key.size() > kMostKey) key = key.substr(0, kHead) + " #" + pki::sha256_hex(key).substr(0, 16);
  return key;
}

SchedView sched_view(const State& state, const Now& now, const SchedEvent& event) {
  SchedView view;
  std::map<std::string, int> index;
  auto used = used_by_units(state);
  for (const auto& [name, info] : state.nodes) {
    index[name] = static_cast<int>(view.nodes.size());
    view.nodes.push_back(name);
    view.now.nodes.push_back(node_of(state, now, info, used[name], event));
  }
  view.now.event.kind = event.kind;
  if (const auto it = index.find(event.node); it != index.end()) view.now.event.node = it->second;
  const DirtyRates dirty(state);
  add_links(state, index, dirty, view.now);

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
    const double rate = known(state, unit).rate;
    // A part of a CPU is what a small node gives; on a larger one the unit would use a whole one.
    const bool wants_more = is_crowded(info) && rate > kLeastWidth * std::min(1.0, node.cpus);
    row.width = std::max(kLeastWidth, wants_more ? std::max(rate, 1.0) : rate);
    row.memory = static_cast<double>(unit.load().memory_bytes());
    row.dirty_rate = dirty.of(unit);
    if (const auto it = moved.find(id); it != moved.end())
      row.moved_ago = static_cast<double>(now.wall_ms - it->second) / 1000;
    row.pinned = unit.spec().pinned() || open != nullptr || unit.load().arriving() || unit.load().frozen();
    row.excluded.assign(unit.spec().avoid().begin(), unit.spec().avoid().end());
    for (const auto& name : forbidden_nodes_of(state, id)) row.excluded.push_back(name);
    const Fits fits = fits_of(state, unit);
    for (const auto& [name, other] : state.nodes)
      if (!takes(other, fits)) row.excluded.push_back(name);
    view.now.units.push_back(row);
    view.units.push_back(id);
    view.names.push_back(unit.spec().name());
    view.sources.push_back(done.source);
  }
  return view;
}

std::string work_before_key(const std::string& unit) { return "sched.before." + unit; }

double work_done(const State& state, const wire::Unit& unit) { return known(state, unit).work; }

void keep_work(const State& state, const wire::Unit& unit, Changes& changes) {
  changes.meta.emplace_back(work_before_key(unit.id()), record(known(state, unit)));
}

std::string work_at_key(const std::string& unit, uint32_t number) { return fmt::format("{}{}@{}", kAt, unit, number); }

void keep_work_at(const State& state, const wire::Unit& unit, uint32_t number, Changes& changes) {
  changes.meta.emplace_back(work_at_key(unit.id(), number), record(known(state, unit)));
}

std::string restore_work(const State& state, const std::string& of, uint32_t number, const std::string& unit,
                         Changes& changes) {
  const auto then = state.meta.find(work_at_key(of, number));
  const auto is = state.meta.find(work_before_key(unit));
  // Of an image that came as a file nothing is known but that its processes' times begin anew.
  put_back_work(unit, then == state.meta.end() ? "" : then->second, changes);
  return is == state.meta.end() ? "" : is->second;
}

void put_back_work(const std::string& unit, const std::string& kept, Changes& changes) {
  changes.meta.emplace_back(work_before_key(unit), kept.empty() ? "0" : kept);
}

namespace {

/// A new row of the history takes the place of the one that was added to least lately.
void make_room(const State& state, Changes& changes) {
  size_t rows = 0;
  auto oldest = state.meta.end();
  int64_t least = 0;
  for (auto it = state.meta.lower_bound(kWork); it != state.meta.end() && it->first.starts_with(kWork); ++it) {
    ++rows;
    const int64_t ended = parse_learned(it->second).ended_ms;
    if (oldest == state.meta.end() || ended < least) oldest = it, least = ended;
  }
  if (rows >= kMostPrograms) changes.removed_meta.push_back(oldest->first);
}

}  // namespace

void learn(const State& state, const wire::Unit& unit, Changes& changes) {
  const double work = work_done(state, unit);
  if (unit.exit().status() != 0 || unit.exit().signal() != 0 || work < 1) return;
  const std::string key = kWork + program_key(unit.spec());
  Learned row;
  if (const auto it = state.meta.find(key); it != state.meta.end())
    row = parse_learned(it->second);
  else
    make_room(state, changes);
  row.history.ended(work);
  changes.meta.emplace_back(key, fmt::format("{:.6f} {} {}", row.history.log_mean, row.history.count, unit.ended_ms()));
}

}  // namespace godwit::controller
