#include "cli/present_sched.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "cli/present.h"

namespace godwit::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

const char* node_word(const wire::NodeInfo& node) {
  const wire::NodeState state = node.state();
  if (node.leaves_ms() != 0 && state == wire::CORDONED) return "leaving";
  return state == wire::READY ? "ready" : state == wire::CORDONED ? "drained" : "gone";
}

/// Never there is null.
Json number_or_null(double value) { return value < 0 ? Json() : Json(value); }

std::string rate_text(double bytes) { return bytes < 1 ? "-" : size_text(static_cast<uint64_t>(bytes)) + "/s"; }

std::string percent(double part) { return fmt::format("{:.0f} %", 100 * part); }

}  // namespace

std::string seconds_text(double seconds) {
  if (seconds < 0) return "-";
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

std::string load_table(const google::protobuf::RepeatedPtrField<wire::NodeInfo>& nodes) {
  std::vector<std::vector<std::string>> rows = {{"NODE", "STATE", "UNITS", "SPEED", "CPUS", "BUSY", "WAIT CPU",
                                                 "WAIT MEMORY", "WAIT I/O", "MEMORY FREE", "DISK FREE"}};
  for (const auto& n : nodes) {
    const auto& a = n.load().activity();
    rows.push_back(
        {n.name(), node_word(n), std::to_string(n.units()), fmt::format("{:.2f}", a.speed()),
         fmt::format("{:.3g}", a.cpus()), fmt::format("{:.2f}", a.cpu_busy()), percent(a.cpu_pressure() / 100),
         percent(a.memory_pressure() / 100), percent(a.io_pressure() / 100),
         fmt::format("{} of {}", size_text(n.load().memory_free_bytes()), size_text(n.load().memory_bytes())),
         size_text(n.load().disk_free_bytes())});
  }
  return table(rows);
}

std::string load_json(const google::protobuf::RepeatedPtrField<wire::NodeInfo>& nodes) {
  Json all = Json::array();
  for (const auto& n : nodes) {
    const auto& a = n.load().activity();
    all.push_back({{"name", n.name()},
                   {"state", node_word(n)},
                   {"units", n.units()},
                   {"load1", n.load().load1()},
                   {"speed", a.speed()},
                   {"cpus", a.cpus()},
                   {"cpu_busy", a.cpu_busy()},
                   {"cpu_pressure", a.cpu_pressure()},
                   {"memory_pressure", a.memory_pressure()},
                   {"io_pressure", a.io_pressure()},
                   {"memory_bytes", n.load().memory_bytes()},
                   {"memory_free_bytes", n.load().memory_free_bytes()},
                   {"disk_free_bytes", n.load().disk_free_bytes()}});
  }
  return dump(all);
}

// -------------------------------------------------------------------------------------------------------------- policy

std::string policy_text(const wire::PolicyReply& policy) {
  std::string out =
      policy.name() == "off"
          ? "rescheduling is off; turn it on with: godwit policy set min-min-m\n\n"
          : fmt::format("units are rescheduled by {}; turn it off with: godwit policy set off\n\n", policy.name());
  std::vector<std::vector<std::string>> rows = {{"POLICY", "RULE"}};
  for (const auto& p : policy.policies()) rows.push_back({p.name(), p.summary()});
  out += table(rows) + "\n";
  rows = {{"SETTING", "VALUE", "MEANING"}};
  for (const auto& s : policy.settings()) rows.push_back({s.name(), s.value(), s.help()});
  return out + table(rows);
}

std::string policy_json(const wire::PolicyReply& policy) {
  Json out;
  out["policy"] = policy.name();
  for (const auto& s : policy.settings()) out["settings"][s.name()] = s.value();
  auto& all = out["policies"] = Json::array();
  for (const auto& p : policy.policies())
    all.push_back({{"name", p.name()}, {"summary", p.summary()}, {"source", p.source()}});
  return dump(out);
}

// ---------------------------------------------------------------------------------------------------------------- plan

namespace {

std::string matrix_text(const wire::PlanReply& plan) {
  std::vector<std::vector<std::string>> rows(1);
  rows[0] = {"UNIT", "ON", "DONE", "BY"};
  for (const auto& n : plan.nodes()) rows[0].push_back(n);
  for (const auto& u : plan.units()) {
    std::vector<std::string> row = {u.name(), u.node(), u.total() > 0 ? percent(u.finished() / u.total()) : "-",
                                    u.source()};
    for (int n = 0; n < u.etc_size(); ++n) {
      const double cost = n < u.cost_size() ? u.cost(n) : 0;
      row.push_back(u.etc(n) < 0 ? "-"
                    : cost > 0   ? fmt::format("{:.1f}+{:.2f}", u.etc(n), cost)
                                 : fmt::format("{:.1f}", u.etc(n)));
    }
    rows.push_back(std::move(row));
  }
  return "Seconds that each unit needs alone on each node, and that the move there costs:\n\n" + table(rows) + "\n";
}

}  // namespace

std::string plan_text(const wire::PlanReply& plan, bool why) {
  std::string out;
  if (why) out += matrix_text(plan);
  std::vector<std::vector<std::string>> rows = {{"UNIT", "FROM", "TO", "STAYING", "MOVING", "COST"}};
  if (why) rows[0].emplace_back("WHY");
  for (const auto& m : plan.moves()) {
    std::vector<std::string> row = {m.name(),
                                    m.from(),
                                    m.to(),
                                    seconds_text(m.stay_s()),
                                    seconds_text(m.go_s()),
                                    fmt::format("{:.2f} s", m.cost_s())};
    if (why) row.push_back(m.reason());
    rows.push_back(std::move(row));
  }
  if (plan.moves_size() > 0) out += table(rows) + "\n";
  for (const auto& name : plan.stuck()) out += fmt::format("{} has to go and fits nowhere\n", name);
  if (plan.moves_size() == 0)
    out +=
        fmt::format("{} would move nothing: {} units on {} nodes", plan.policy(), plan.units_size(), plan.nodes_size());
  else
    out += fmt::format("{} would make {} move{}", plan.policy(), plan.moves_size(), plan.moves_size() == 1 ? "" : "s");
  out += fmt::format("; all done in {} (now {}), a unit on average in {} (now {})\n",
                     seconds_text(plan.makespan_after_s()), seconds_text(plan.makespan_before_s()),
                     seconds_text(plan.flow_after_s()), seconds_text(plan.flow_before_s()));
  if (plan.dropped() > 0) out += fmt::format("{} more weren't worth their while, or over the limit\n", plan.dropped());
  return out;
}

std::string plan_json(const wire::PlanReply& plan) {
  Json out;
  out["policy"] = plan.policy();
  out["event"] = plan.event();
  out["nodes"] = std::vector<std::string>(plan.nodes().begin(), plan.nodes().end());
  auto& units = out["units"] = Json::array();
  for (const auto& u : plan.units()) {
    Json etc = Json::array(), cost = Json::array();
    for (const double e : u.etc()) etc.push_back(number_or_null(e));
    for (const double c : u.cost()) cost.push_back(c);
    units.push_back({{"unit", u.unit()},
                     {"name", u.name()},
                     {"node", u.node()},
                     {"total", u.total()},
                     {"finished", u.finished()},
                     {"source", u.source()},
                     {"etc_s", etc},
                     {"cost_s", cost}});
  }
  auto& moves = out["moves"] = Json::array();
  for (const auto& m : plan.moves())
    moves.push_back({{"unit", m.unit()},
                     {"name", m.name()},
                     {"from", m.from()},
                     {"to", m.to()},
                     {"why", m.why()},
                     {"stay_s", number_or_null(m.stay_s())},
                     {"go_s", m.go_s()},
                     {"cost_s", m.cost_s()},
                     {"reason", m.reason()}});
  out["makespan_s"] = {{"before", plan.makespan_before_s()}, {"after", plan.makespan_after_s()}};
  out["flow_s"] = {{"before", plan.flow_before_s()}, {"after", plan.flow_after_s()}};
  out["stuck"] = std::vector<std::string>(plan.stuck().begin(), plan.stuck().end());
  out["dropped"] = plan.dropped();
  return dump(out);
}

// ----------------------------------------------------------------------------------------------------------------- top

std::string top_text(const wire::NodesReply& nodes, const wire::PsReply& units, const wire::PlanReply& plan) {
  std::map<std::string, const wire::PlanUnit*> planned;
  for (const auto& u : plan.units()) planned[u.unit()] = &u;
  std::vector<std::vector<std::string>> rows = {
      {"UNIT", "ON", "STATE", "CPU", "MEMORY", "READS", "WRITES", "PROCESSES", "DONE", "BY", "LEFT"}};
  for (const auto& u : units.units()) {
    const auto& a = u.load().activity();
    std::string done = "-", by = "-", left = "-";
    if (const auto it = planned.find(u.id()); it != planned.end()) {
      const wire::PlanUnit& p = *it->second;
      by = p.source();
      if (p.source() != "unknown" && p.total() > 0) done = percent(p.finished() / p.total());
      if (p.source() != "unknown") left = seconds_text(p.left());
    }
    rows.push_back({u.spec().name(), u.node(), state_word(u.state()), fmt::format("{:.2f}", a.cpu_rate()),
                    size_text(u.load().memory_bytes()), rate_text(a.read_rate()), rate_text(a.write_rate()),
                    std::to_string(u.load().processes()), done, by, left});
  }
  return load_table(nodes.nodes()) + "\n" + table(rows);
}

}  // namespace godwit::cli
