// The table of policies, their settings, and a decision from beginning to end. To add a policy: sched.h.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "sched/weighted.h"

namespace godwit::sched {
namespace {

std::string text(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return {buffer, end.ptr};
}

Result<double> number(const std::string& word, double least, double most) {
  double value = 0;
  const auto end = std::from_chars(word.data(), word.data() + word.size(), value);
  if (end.ec != std::errc() || end.ptr != word.data() + word.size() || !std::isfinite(value))
    return fail(Code::kUsage, "\"" + word + "\" is no number");
  if (value < least || value > most)
    return fail(Code::kUsage, word + " isn't between " + text(least) + " and " + text(most));
  return value;
}

Result<Penalty> penalty(const std::string& word) {
  for (const Penalty p : {Penalty::kNone, Penalty::kModerate, Penalty::kLarge})
    if (penalty_word(p) == word) return p;
  return fail(Code::kUsage, "a penalty is none, moderate or large, not \"" + word + "\"");
}

// What reads and writes one field, within bounds.
template <auto kField>
std::string get(const Settings& s) {
  if constexpr (std::is_same_v<std::remove_cvref_t<decltype(s.*kField)>, Penalty>)
    return std::string(penalty_word(s.*kField));
  else
    return text(static_cast<double>(s.*kField));
}
template <auto kField, int64_t kLeast, int64_t kMost>
Result<void> put(Settings& s, const std::string& word) {
  using Type = std::remove_cvref_t<decltype(s.*kField)>;
  if constexpr (std::is_same_v<Type, Penalty>) {
    TRY(s.*kField, penalty(word));
  } else {
    TRY(const double value, number(word, static_cast<double>(kLeast), static_cast<double>(kMost)));
    if (std::is_integral_v<Type> && value != std::floor(value))
      return fail(Code::kUsage, word + " isn't a whole number");
    s.*kField = static_cast<Type>(value);
  }
  return {};
}
template <auto kField, int64_t kLeast, int64_t kMost>
constexpr SettingRow row(std::string_view name, std::string_view help) {
  return {name, help, get<kField>, put<kField, kLeast, kMost>};
}

}  // namespace

const std::vector<Policy>& policies() {
  static const std::vector<Policy> kTable = {
      {"none", "nothing moves but what must", "-", map_none},
      {"min-min", "the unit that can be done soonest first, where it is done soonest",
       "Ibarra and Kim, JACM 24(2), 1977; in G-JavaMPI as Min-min-S, -M, -L", map_min_min},
      {"max-min", "the unit that is done last first, where it is done soonest", "Ibarra and Kim, JACM 24(2), 1977",
       map_max_min},
      {"sufferage", "the unit that loses most without its best node first", "Maheswaran et al., JPDC 59(2), 1999",
       map_sufferage},
      {"mct", "units in order, each where it is done soonest", "Armstrong, Hensgen and Kidd, HCW 1998", map_mct},
      {"olb", "units in order, each to the node that is idle soonest", "Armstrong, Hensgen and Kidd, HCW 1998",
       map_olb},
      {"ga", "a genetic algorithm, seeded with Min-min and with things as they are",
       "Braun et al., JPDC 61(6), 2001; in G-JavaMPI as GA-S, -M, -L", map_ga},
      {"tabu", "local search that keeps away from where it was", "Glover and Laguna 1997; De Falco et al. 1994",
       map_tabu},
      {"exact", "branch and bound, for small grids", "Land and Doig, Econometrica 28(3), 1960", map_exact},
      {"gossip", "each node by itself, with what it hears of a few others",
       "Barak, Guday and Wheeler, The MOSIX Distributed Operating System, LNCS 672, 1993", map_gossip},
  };
  return kTable;
}

const std::vector<SettingRow>& settings_table() {
  static const std::vector<SettingRow> kTable = {
      row<&Settings::extension, 0, 0>("extension", "penalty when the grid grows: none, moderate, large"),
      row<&Settings::shrink, 0, 0>("shrink", "penalty when it shrinks: none, moderate, large"),
      row<&Settings::moderate, 0, 10>("moderate", "part of the remaining time that a moderate penalty charges"),
      row<&Settings::large, 0, 10>("large", "part of it that a large one charges"),
      row<&Settings::flow_weight, 0, 1000>("flow_weight", "weight of the mean time to completion beside the makespan"),
      row<&Settings::min_gain, 0, 10>("min_gain", "part of a unit's remaining time that a move must gain"),
      row<&Settings::min_gain_s, 0, 1'000'000>("min_gain_s", "seconds that a move must gain"),
      row<&Settings::max_moves, 0, 1'000'000>("max_moves", "moves of choice at a time; 0: no limit"),
      row<&Settings::seed, 0, 1'000'000'000>("seed", "of ga, tabu and gossip"),
      row<&Settings::population, 4, 10'000>("population", "ga: mappings in a generation"),
      row<&Settings::generations, 1, 100'000>("generations", "ga: at most"),
      row<&Settings::iterations, 1, 1'000'000>("iterations", "tabu: steps"),
      row<&Settings::expansions, 1, 1'000'000'000>("expansions", "exact: partial mappings looked at"),
      row<&Settings::look_s, 0, 86'400>("look_s", "seconds between two looks at the load; 0: only events count"),
      row<&Settings::fanout, 1, 1000>("fanout", "gossip: nodes that each hears of"),
  };
  return kTable;
}

Result<void> set(Settings& settings, std::string_view key_value) {
  const size_t equals = key_value.find('=');
  if (equals == std::string_view::npos)
    return fail(Code::kUsage, "write key=value, not \"" + std::string(key_value) + "\"");
  const std::string key(key_value.substr(0, equals)), value(key_value.substr(equals + 1));
  for (const auto& row : settings_table()) {
    if (row.name != key) continue;
    if (auto done = row.set(settings, value); !done) return std::unexpected(done.error().in(key));
    return {};
  }
  return fail(Code::kUsage, "no setting \"" + key + "\"; see: godwit policy");
}

Result<Choice> choose(std::string_view name, const Settings& settings) {
  Choice choice{nullptr, settings};
  std::string_view plain = name;
  if (name.size() > 2 && name[name.size() - 2] == '-') {
    const char strength = name.back();
    const Penalty p = strength == 's' ? Penalty::kNone : strength == 'l' ? Penalty::kLarge : Penalty::kModerate;
    if (strength == 's' || strength == 'm' || strength == 'l') {
      plain.remove_suffix(2);
      choice.settings.extension = choice.settings.shrink = p;
    }
  }
  for (const auto& policy : policies())
    if (policy.name == plain) choice.policy = &policy;
  if (choice.policy == nullptr) {
    std::string names;
    for (const auto& policy : policies()) names += (names.empty() ? "" : ", ") + std::string(policy.name);
    return fail(Code::kUsage, "no policy \"" + std::string(name) + "\"; there are " + names +
                                  ", each also with -s, -m or -l for no, a moderate or a large penalty");
  }
  return choice;
}

std::string full_name(const Choice& choice) {
  std::string name(choice.policy->name);
  if (name == "none" || choice.settings.extension != choice.settings.shrink) return name;
  switch (choice.settings.extension) {
    case Penalty::kNone: return name + "-s";
    case Penalty::kModerate: return name + "-m";
    case Penalty::kLarge: return name + "-l";
  }
  return name;
}

Plan decide(const Choice& choice, const Problem& problem) {
  const Weighted view(problem, choice.settings);
  Settled settled = settle(view, choice.policy->map(view));
  Plan plan;
  plan.mapping = std::move(settled.mapping);
  plan.stuck = std::move(settled.stuck);
  plan.dropped = settled.dropped;
  plan.before = evaluate(problem, staying(problem));
  plan.after = evaluate(problem, plan.mapping);

  const Settings none;
  Weighted bare(problem, none);
  std::ranges::fill(bare.charge, 0.0);
  const Loads before(bare, staying(problem)), after(bare, plan.mapping);
  for (size_t u = 0; u < problem.units(); ++u) {
    const int from = problem.at[u], to = plan.mapping[u];
    if (to == kNowhere || to == from) continue;
    const auto n = static_cast<size_t>(to);
    Move move{static_cast<int>(u), from, to, Why::kGain};
    if (problem.forced(u)) move.why = from == kNowhere ? Why::kPlaced : Why::kForced;
    if (!problem.forced(u)) {
      const auto home = static_cast<size_t>(from);
      move.stay_s = problem.etc.at(u, home) * before.crowding(home);
    }
    move.go_s = (problem.etc.at(u, n) + problem.cost.at(u, n)) * after.crowding(n);
    move.cost_s = problem.cost.at(u, n);
    plan.moves.push_back(move);
  }
  std::ranges::stable_sort(plan.moves, [](const Move& a, const Move& b) {
    if ((a.why == Why::kGain) != (b.why == Why::kGain)) return b.why == Why::kGain;
    return a.why == Why::kGain && a.stay_s - a.go_s > b.stay_s - b.go_s;
  });
  return plan;
}

}  // namespace godwit::sched
