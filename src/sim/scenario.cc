// Scenario files: a word, names, and key=value on each line. The table of lines is kLines; the format: docs/formats/scenario.md.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>

#include "base/io.h"
#include "base/text.h"
#include "sched/random.h"
#include "sim/sim.h"

namespace godwit::sim {
namespace {

constexpr size_t kMostNodes = 100'000, kMostJobs = 10'000'000;
constexpr double kMostCpus = 1e6;

std::unexpected<Error> wrong(std::string text) { return fail(Code::kUsage, std::move(text)); }

/// "1.5", "200M", "2h": a number, a power of 1000 for bytes, or seconds, minutes, hours, days.
Result<double> quantity(const std::string& word) {
  static const std::map<std::string, double> kSuffixes = {{"", 1},     {"K", 1e3},  {"M", 1e6},   {"G", 1e9},
                                                          {"T", 1e12}, {"s", 1},    {"ms", 1e-3}, {"m", 60},
                                                          {"h", 3600}, {"d", 86400}};
  double value = 0;
  const auto end = std::from_chars(word.data(), word.data() + word.size(), value);
  const auto suffix = kSuffixes.find(std::string(end.ptr, word.data() + word.size()));
  if (end.ec != std::errc() || suffix == kSuffixes.end() || value < 0 || !std::isfinite(value * suffix->second))
    return wrong("\"" + word + "\" is no number, size (200M) or time (90, 5m, 2h)");
  return value * suffix->second;
}

/// What follows the first word of a line. Keys are taken one by one; what is left at the end is an error.
class Line {
 public:
  explicit Line(const std::vector<std::string>& words) {
    for (size_t i = 1; i < words.size(); ++i) {
      const size_t equals = words[i].find('=');
      if (equals == std::string::npos)
        names_.push_back(words[i]);
      else
        keys_[words[i].substr(0, equals)] = words[i].substr(equals + 1);
    }
  }
  const std::vector<std::string>& names() const { return names_; }
  Result<std::string> name(size_t i) const {
    if (i >= names_.size()) return wrong("a word is missing");
    return names_[i];
  }
  std::string text(const std::string& key) {
    const auto it = keys_.find(key);
    if (it == keys_.end()) return {};
    std::string value = it->second;
    keys_.erase(it);
    return value;
  }
  Result<double> number(const std::string& key, double otherwise, double least = 0, double most = 1e18) {
    const std::string word = text(key);
    if (word.empty()) return otherwise;
    TRY(const double value, quantity(word));
    if (value < least || value > most) return wrong(key + "=" + word + " is out of range");
    return value;
  }
  /// "1" or "0.5..2": the second is drawn for each.
  Result<std::pair<double, double>> range(const std::string& key, double otherwise) {
    const std::string word = text(key);
    if (word.empty()) return std::pair(otherwise, otherwise);
    const size_t dots = word.find("..");
    TRY(const double from, quantity(word.substr(0, dots)));
    if (dots == std::string::npos) return std::pair(from, from);
    TRY(const double to, quantity(word.substr(dots + 2)));
    return std::pair(from, to);
  }
  bool flag(const std::string& word) {
    const auto it = std::ranges::find(names_, word);
    if (it == names_.end()) return false;
    names_.erase(it);
    return true;
  }
  Result<void> nothing_left(size_t names) const {
    if (!keys_.empty()) return wrong("no \"" + keys_.begin()->first + "=\" here");
    if (names_.size() > names) return wrong("\"" + names_[names] + "\" is one word too many");
    return {};
  }

 private:
  std::vector<std::string> names_;
  std::map<std::string, std::string> keys_;
};

struct Reader {
  Scenario scenario;
  std::string folder;
  sched::Random random{1};
};

// node NAME,… | node PREFIX count=N: cpus= speed= memory= bandwidth= site= arch= [later]
Result<void> node(Reader& r, Line& line) {
  const bool later = line.flag("later");
  TRY(const std::string names, line.name(0));
  TRY(const double count, line.number("count", 0, 0, kMostNodes));
  TRY(const auto speed, line.range("speed", 1));
  TRY(const auto cpus, line.range("cpus", 1));
  if (cpus.first > kMostCpus || cpus.second > kMostCpus) return wrong("cpus= is at most a million");
  TRY(const auto memory, line.range("memory", 0));
  TRY(const auto bandwidth, line.range("bandwidth", 125e6));
  std::vector<std::string> all = split_copy(names, ',');
  if (count > 0) {
    all.clear();
    for (int i = 1; i <= static_cast<int>(count); ++i) all.push_back(names + std::to_string(i));
  }
  NodeSpec spec;
  spec.site = line.text("site"), spec.arch = line.text("arch"), spec.present = !later;
  for (const auto& name : all) {
    spec.name = name;
    spec.speed = r.random.uniform(speed.first, speed.second);
    spec.cpus = static_cast<int>(std::floor(r.random.uniform(cpus.first, cpus.second) + 0.5));
    spec.memory = r.random.uniform(memory.first, memory.second);
    spec.bandwidth = r.random.uniform(bandwidth.first, bandwidth.second);
    if (!(spec.speed > 0) || spec.cpus < 1 || spec.cpus > 4096 || !(spec.bandwidth > 0))
      return wrong("speed, cpus and bandwidth are more than 0");
    if (std::ranges::find(r.scenario.nodes, name, &NodeSpec::name) != r.scenario.nodes.end())
      return wrong("two nodes are named " + name);
    if (r.scenario.nodes.size() >= kMostNodes) return wrong("too many nodes");
    r.scenario.nodes.push_back(spec);
  }
  return line.nothing_left(1);
}

Result<void> known_nodes(const Reader& r, const std::vector<std::string>& names) {
  for (const auto& name : names)
    if (std::ranges::find(r.scenario.nodes, name, &NodeSpec::name) == r.scenario.nodes.end())
      return wrong("no node " + name);
  return {};
}

// job NAME work=S [processes=N] [at=T] [memory=B] [dirty=B] [arch=A] [on=NODE,…] [exclude=NODE,…] [pinned]
Result<void> job(Reader& r, Line& line) {
  JobSpec spec;
  spec.pinned = line.flag("pinned");
  TRY(spec.name, line.name(0));
  TRY(spec.work, line.number("work", 0));
  TRY(const double processes, line.number("processes", 1, 1, 100'000));
  TRY(spec.at, line.number("at", 0));
  TRY(spec.memory, line.number("memory", spec.memory));
  TRY(spec.dirty_rate, line.number("dirty", spec.dirty_rate));
  spec.processes = static_cast<int>(processes);
  spec.arch = line.text("arch");
  spec.on = split_copy(line.text("on"), ',');
  spec.excluded = split_copy(line.text("exclude"), ',');
  if (spec.work <= 0) return wrong("work= is missing");
  TRY_DO(known_nodes(r, spec.on));
  TRY_DO(known_nodes(r, spec.excluded));
  r.scenario.jobs.push_back(spec);
  return line.nothing_left(1);
}

// at TIME join|leave|vanish|drain|slow|pressure|spot NODE [notice=T] [factor=F] [memory=B]
Result<void> event(Reader& r, Line& line) {
  EventSpec spec;
  TRY(const std::string time, line.name(0));
  TRY(spec.at, quantity(time));
  TRY(const std::string word, line.name(1));
  TRY(const std::string nodes, line.name(2));
  using sched::EventKind;
  constexpr EventKind kKinds[] = {EventKind::kJoin, EventKind::kLeave,    EventKind::kVanish, EventKind::kDrain,
                                  EventKind::kSlow, EventKind::kPressure, EventKind::kSpot};
  const auto kind = std::ranges::find(kKinds, word, sched::event_word);
  if (kind == std::end(kKinds)) return wrong("no event \"" + word + "\"");
  spec.kind = *kind;
  TRY(spec.notice, line.number("notice", spec.kind == EventKind::kSpot ? 120 : 0));
  if (spec.kind == EventKind::kSlow) {
    TRY(spec.value, line.number("factor", 0.5, 0.001, 1000));
  }
  if (spec.kind == EventKind::kPressure) {
    TRY(spec.value, line.number("memory", 0));
  }
  TRY_DO(known_nodes(r, split_copy(nodes, ',')));
  for (const auto& name : split_copy(nodes, ',')) {
    spec.node = name;
    r.scenario.events.push_back(spec);
  }
  return line.nothing_left(3);
}

double capacity(const Scenario& s) {
  double sum = 0;
  for (const auto& n : s.nodes)
    if (n.present) sum += n.speed * n.cpus;
  return sum;
}

// workload lublin jobs=N [machine=P] [scale=F] [load=F] [memory=B] [seed=N]
Result<void> workload(Reader& r, Line& line) {
  TRY(const std::string model, line.name(0));
  if (model != "lublin") return wrong("the workload model is lublin");
  Lublin lublin;
  TRY(const double jobs, line.number("jobs", 1000, 1, kMostJobs));
  TRY(const double machine, line.number("machine", 64, 1, 100'000));
  TRY(lublin.scale, line.number("scale", 1));
  TRY(lublin.load, line.number("load", 0, 0, 100));
  TRY(lublin.memory, line.number("memory", lublin.memory));
  TRY(const double seed, line.number("seed", 1, 0, 1e15));
  lublin.jobs = static_cast<size_t>(jobs), lublin.machine = static_cast<int>(machine);
  lublin.seed = static_cast<uint64_t>(seed), lublin.capacity = capacity(r.scenario);
  const auto made = lublin_jobs(lublin);
  r.scenario.jobs.insert(r.scenario.jobs.end(), made.begin(), made.end());
  return line.nothing_left(1);
}

// trace FILE.swf [jobs=N] [scale=F]
Result<void> trace(Reader& r, Line& line) {
  TRY(const std::string file, line.name(0));
  TRY(const double jobs, line.number("jobs", 0, 0, kMostJobs));
  TRY(const double scale, line.number("scale", 1));
  TRY(const std::string text, io::read_file(file.front() == '/' ? file : r.folder + "/" + file, 1u << 30));
  TRY(const auto read, parse_swf(text, static_cast<size_t>(jobs), scale));
  r.scenario.jobs.insert(r.scenario.jobs.end(), read.begin(), read.end());
  return line.nothing_left(1);
}

// churn share=F [every=T] [away=T] [notice=T] [vanish=F]
Result<void> churn(Reader& r, Line& line) {
  Churn& c = r.scenario.churn;
  TRY(c.share, line.number("share", 0.1, 0, 1));
  TRY(c.every, line.number("every", c.every, 1));
  TRY(c.away, line.number("away", c.away, 1));
  TRY(c.notice, line.number("notice", c.notice));
  TRY(c.vanish, line.number("vanish", 0, 0, 1));
  return line.nothing_left(0);
}

// moves [live|stop] [fixed=T] [setup=T] [slowdown=F] [at_once=N] [cooldown=T] [cpu_from=T] [cpu_to=T] [weight=F]
Result<void> moves(Reader& r, Line& line) {
  auto& c = r.scenario.cost;
  if (line.flag("stop")) c.live = false;
  (void)line.flag("live");
  TRY(c.fixed_s, line.number("fixed", c.fixed_s));
  TRY(c.setup_s, line.number("setup", c.setup_s));
  TRY(c.slowdown, line.number("slowdown", c.slowdown, 0, 1));
  TRY(const double at_once, line.number("at_once", r.scenario.moves_at_once, 1, 100'000));
  TRY(r.scenario.cooldown, line.number("cooldown", r.scenario.cooldown));
  TRY(r.scenario.move_cpu_from, line.number("cpu_from", 0));
  TRY(r.scenario.move_cpu_to, line.number("cpu_to", 0));
  TRY(r.scenario.move_weight, line.number("weight", 1, 0.001, 1000));
  r.scenario.moves_at_once = static_cast<int>(at_once);
  return line.nothing_left(0);
}

// grid [tick=T] [checkpoint=T] [noise=F] [seed=N] [backbone=B] [latency=T]
Result<void> grid(Reader& r, Line& line) {
  Scenario& s = r.scenario;
  TRY(s.tick, line.number("tick", s.tick));
  TRY(s.checkpoint_every, line.number("checkpoint", s.checkpoint_every));
  TRY(s.noise, line.number("noise", s.noise, 0, 10));
  TRY(s.backbone, line.number("backbone", s.backbone, 1));
  TRY(s.latency, line.number("latency", s.latency));
  TRY(const double seed, line.number("seed", static_cast<double>(s.seed), 0, 1e15));
  s.seed = static_cast<uint64_t>(seed);
  r.random = sched::Random(s.seed);
  return line.nothing_left(0);
}

// set KEY=VALUE …: of the policy, as in `godwit policy set`
Result<void> set(Reader& r, const std::vector<std::string>& words) {
  for (size_t i = 1; i < words.size(); ++i) TRY_DO(sched::set(r.scenario.settings, words[i]));
  return {};
}

Result<void> read_line(Reader& r, const std::vector<std::string>& words) {
  static const std::map<std::string, Result<void> (*)(Reader&, Line&)> kLines = {
      {"node", node},   {"job", job},     {"at", event},    {"workload", workload},
      {"trace", trace}, {"churn", churn}, {"moves", moves}, {"grid", grid}};
  if (words[0] == "set") return set(r, words);
  const auto it = kLines.find(words[0]);
  if (it == kLines.end()) return wrong("no line begins with \"" + words[0] + "\"");
  Line line(words);
  return it->second(r, line);
}

}  // namespace

Result<Scenario> parse_scenario(const std::string& text, const std::string& folder) {
  Reader reader;
  reader.folder = folder;
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    const std::vector<std::string> w{std::istream_iterator<std::string>(words), {}};
    if (w.empty()) continue;
    if (auto done = read_line(reader, w); !done)
      return std::unexpected(done.error().in("line " + std::to_string(number)));
  }
  if (reader.scenario.nodes.empty()) return wrong("there is no node");
  if (reader.scenario.jobs.empty()) return wrong("there is no job, workload or trace");
  std::ranges::stable_sort(reader.scenario.jobs, {}, &JobSpec::at);
  std::ranges::stable_sort(reader.scenario.events, {}, &EventSpec::at);
  return reader.scenario;
}

Result<Scenario> read_scenario(const std::string& path) {
  TRY(const std::string text, io::read_file(path, 1u << 26));
  const size_t slash = path.rfind('/');
  auto scenario = parse_scenario(text, slash == std::string::npos ? "." : path.substr(0, slash));
  if (!scenario) return std::unexpected(scenario.error().in(path));
  return scenario;
}

}  // namespace godwit::sim
