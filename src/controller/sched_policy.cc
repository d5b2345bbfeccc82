// The grid's policy, and plans as they are shown.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "controller/sched_view.h"

namespace godwit::controller {
namespace {

constexpr const char* kPolicy = "sched.policy";
constexpr const char* kOtherwise = "min-min-m";

wire::PolicyReply describe(const Automation& a) {
  wire::PolicyReply reply;
  reply.set_name(a.on ? a.name : "off");
  for (const auto& row : sched::settings_table()) {
    auto* setting = reply.add_settings();
    setting->set_name(std::string(row.name));
    setting->set_value(row.get(a.choice.settings));
    setting->set_help(std::string(row.help));
  }
  for (const auto& p : sched::policies()) {
    auto* policy = reply.add_policies();
    policy->set_name(std::string(p.name));
    policy->set_summary(std::string(p.summary));
    policy->set_source(std::string(p.source));
  }
  return reply;
}

double shown(double seconds) { return seconds == sched::kNever ? -1 : seconds; }

std::string reason(const sched::Move& m, const SchedView& view) {
  const auto node = [&](int n) { return view.nodes[static_cast<size_t>(n)]; };
  if (m.why == sched::Why::kPlaced)
    return fmt::format("it has no node; on {} it would be done in {:.0f} s", node(m.to), m.go_s);
  if (m.why == sched::Why::kForced)
    return fmt::format("it has to leave {}; on {} it would be done in {:.0f} s", node(m.from), node(m.to), m.go_s);
  return fmt::format("done in {:.0f} s instead of {:.0f} s, {:.2f} s of which the move costs", m.go_s, m.stay_s,
                     m.cost_s);
}

/// A simulation may take hours, the controller may not: whoever waits for its decision can't break it off.
Outcome<void> check_affordable(const sched::Settings& s) {
  constexpr int64_t kMostMappings = 3'000'000, kMostSteps = 100'000, kMostExpansions = 20'000'000;
  const auto refuse = [](std::string_view what, int64_t most) {
    return failure(Code::kUsage, fmt::format("{} is at most {} on a grid (godwit sim takes more)", what, most));
  };
  if (int64_t{s.population} * s.generations > kMostMappings)
    return refuse("population times generations", kMostMappings);
  if (s.iterations > kMostSteps) return refuse("iterations", kMostSteps);
  if (s.expansions > kMostExpansions) return refuse("expansions", kMostExpansions);
  return {};
}

}  // namespace

Automation automation(const State& state) {
  Automation out;
  out.name = kOtherwise;
  sched::Settings settings;
  settings.max_moves = 8;
  if (const auto it = state.meta.find(kPolicy); it != state.meta.end()) {
    const auto j = nlohmann::json::parse(it->second, nullptr, false);
    if (j.is_object() && j.contains("name") && j["name"].is_string()) {
      out.on = j.value("on", false);
      out.name = j["name"];
      if (j.contains("settings") && j["settings"].is_object())
        for (const auto& [key, value] : j["settings"].items())
          if (value.is_string()) (void)sched::set(settings, key + "=" + value.get<std::string>());
    }
  }
  // A name of a newer Godwit, in a file that an older one reads, is as good as none.
  auto choice = sched::choose(out.name, settings);
  if (!choice) out.on = false, choice = sched::choose(kOtherwise, settings);
  out.choice = *choice;
  return out;
}

Outcome<PolicyChange> set_policy(const State& state, const wire::PolicyRequest& request) {
  Automation a = automation(state);
  PolicyChange change;
  if (request.name().empty() && request.settings().empty()) {
    change.reply = describe(a);
    return change;
  }
  if (request.name() == "off") {
    a.on = false;
  } else if (!request.name().empty()) {
    auto choice = sched::choose(request.name(), a.choice.settings);
    if (!choice) return std::unexpected(rpc::Failure{choice.error(), {}});
    a = {true, *choice, request.name()};
  }
  for (const auto& s : request.settings()) {
    // A penalty that is set by itself is meant, whatever the name says.
    if (s.starts_with("extension=") || s.starts_with("shrink=")) a.name = std::string(a.choice.policy->name);
    if (auto done = sched::set(a.choice.settings, s); !done) return std::unexpected(rpc::Failure{done.error(), {}});
  }
  TRY_DO(check_affordable(a.choice.settings));
  nlohmann::json j;
  j["on"] = a.on, j["name"] = a.name;
  for (const auto& row : sched::settings_table()) j["settings"][std::string(row.name)] = row.get(a.choice.settings);
  change.changes.meta.emplace_back(kPolicy, j.dump());
  change.reply = describe(a);
  return change;
}

namespace {

/// Of each unit how far it is, and what it still needs where it is.
wire::PlanReply progress_reply(const Question& q) {
  wire::PlanReply reply;
  reply.set_policy(sched::full_name(q.choice));
  reply.set_event(std::string(sched::event_word(q.view.now.event.kind)));
  for (size_t u = 0; u < q.view.units.size(); ++u) {
    const sched::Unit& unit = q.view.now.units[u];
    const auto home = static_cast<size_t>(unit.node);
    auto* row = reply.add_units();
    row->set_unit(q.view.units[u]);
    row->set_name(q.view.names[u]);
    row->set_node(q.view.nodes[home]);
    row->set_total(unit.total);
    row->set_finished(unit.finished);
    row->set_source(sched::progress_source_word(q.view.sources[u]));
    row->set_left(shown(sched::alone_s(unit, q.view.now.nodes[home])));
  }
  return reply;
}

}  // namespace

wire::PlanReply answer(const Question& q, bool only_progress) {
  wire::PlanReply reply = progress_reply(q);
  if (only_progress) return reply;
  const SchedView& view = q.view;
  const sched::Problem problem = sched::make_problem(view.now);
  const sched::Plan plan = sched::decide(q.choice, problem);
  for (const auto& n : view.nodes) reply.add_nodes(n);
  for (size_t u = 0; u < view.units.size(); ++u) {
    auto* row = reply.mutable_units(static_cast<int>(u));
    for (size_t n = 0; n < view.nodes.size(); ++n) {
      row->add_etc(shown(problem.etc.at(u, n)));
      row->add_cost(problem.cost.at(u, n));
    }
  }
  for (const auto& m : plan.moves) {
    auto* move = reply.add_moves();
    move->set_unit(view.units[static_cast<size_t>(m.unit)]);
    move->set_name(view.names[static_cast<size_t>(m.unit)]);
    if (m.from != sched::kNowhere) move->set_from(view.nodes[static_cast<size_t>(m.from)]);
    move->set_to(view.nodes[static_cast<size_t>(m.to)]);
    move->set_why(m.why == sched::Why::kGain ? "gain" : m.why == sched::Why::kForced ? "forced" : "placed");
    move->set_stay_s(shown(m.stay_s));
    move->set_go_s(m.go_s);
    move->set_cost_s(m.cost_s);
    move->set_reason(reason(m, view));
  }
  reply.set_makespan_before_s(plan.before.makespan);
  reply.set_makespan_after_s(plan.after.makespan);
  reply.set_flow_before_s(plan.before.flow);
  reply.set_flow_after_s(plan.after.flow);
  for (const int u : plan.stuck) reply.add_stuck(view.names[static_cast<size_t>(u)]);
  reply.set_dropped(static_cast<uint32_t>(plan.dropped));
  return reply;
}

Question emptying_question(const State& state, const Now& now, const std::string& node) {
  return {sched_view(state, now, {sched::EventKind::kDrain, node}), automation(state).choice};
}

std::map<std::string, std::string> emptying(const Question& q) {
  const sched::Plan plan = sched::decide(q.choice, sched::make_problem(q.view.now));
  std::map<std::string, std::string> out;
  for (const auto& m : plan.moves)
    if (m.why == sched::Why::kForced)
      out[q.view.units[static_cast<size_t>(m.unit)]] = q.view.nodes[static_cast<size_t>(m.to)];
  return out;
}

Outcome<Question> plan_question(const State& state, const Now& now, const wire::PlanRequest& request) {
  TRY(const SchedEvent event, parse_event(state, request.event()));
  const Automation a = automation(state);
  auto choice = sched::choose(request.policy().empty() ? a.name : request.policy(), a.choice.settings);
  if (!choice) return std::unexpected(rpc::Failure{choice.error(), {}});
  for (const auto& s : request.settings())
    if (auto done = sched::set(choice->settings, s); !done) return std::unexpected(rpc::Failure{done.error(), {}});
  TRY_DO(check_affordable(choice->settings));
  return Question{sched_view(state, now, event), *choice};
}

Outcome<wire::PlanReply> plan(const State& state, const Now& now, const wire::PlanRequest& request) {
  TRY(const Question question, plan_question(state, now, request));
  return answer(question, request.only_progress());
}

}  // namespace godwit::controller
