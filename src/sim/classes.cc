// The matrices of Braun et al. (sched/etc_classes.h): makespan of each heuristic relative to Min-min, mean of some trials.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sched/etc_classes.h"
#include "sim/sim.h"

namespace godwit::sim {

namespace {
constexpr std::string_view kNames[] = {"min-min-s", "max-min-s", "sufferage-s", "mct-s", "olb-s", "ga-s", "tabu-s"};
}  // namespace

Result<std::vector<ClassRow>> classes(size_t trials, size_t units, size_t nodes) {
  sched::Settings settings;
  settings.flow_weight = 0;  // theirs is the makespan alone
  settings.population = 200, settings.generations = 1000, settings.iterations = 4000;
  const double n = static_cast<double>(trials);
  std::vector<ClassRow> out;
  for (const auto& name : sched::etc_classes()) {
    ClassRow row{name, 0, {}};
    for (const auto policy : kNames) row.policies.push_back({std::string(policy), 0, 0, 0});
    for (size_t trial = 1; trial <= trials; ++trial) {
      TRY(const sched::Problem p, sched::etc_class(name, units, nodes, trial));
      const double bound = sched::lower_bound(p);
      double min_min = 0;
      for (auto& cell : row.policies) {
        TRY(const auto choice, sched::choose(cell.policy, settings));
        const auto began = std::chrono::steady_clock::now();
        const double makespan = sched::decide(choice, p).after.makespan;
        cell.ms += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count() / n;
        if (min_min == 0) min_min = makespan;
        cell.to_min_min += makespan / min_min / n;
        cell.to_bound += makespan / bound / n;
      }
      row.bound += bound / min_min / n;
    }
    out.push_back(std::move(row));
  }
  return out;
}

std::string classes_text(const std::vector<ClassRow>& rows) {
  std::string out = fmt::format("{:<8}", "class");
  for (const auto name : kNames) out += fmt::format(" {:>11}", name.substr(0, name.size() - 2));
  out += fmt::format(" {:>11}\n", "bound");
  for (const auto& row : rows) {
    out += fmt::format("{:<8}", row.name);
    for (const auto& cell : row.policies) out += fmt::format(" {:>11.3f}", cell.to_min_min);
    out += fmt::format(" {:>11.3f}\n", row.bound);
  }
  return out;
}

std::string classes_csv(const std::vector<ClassRow>& rows) {
  std::string out = "class,policy,relative_to_min_min,relative_to_bound,milliseconds\n";
  for (const auto& row : rows)
    for (const auto& cell : row.policies)
      out +=
          fmt::format("{},{},{:.4f},{:.4f},{:.1f}\n", row.name, cell.policy, cell.to_min_min, cell.to_bound, cell.ms);
  return out;
}

std::string classes_json(const std::vector<ClassRow>& rows) {
  auto all = nlohmann::ordered_json::array();
  for (const auto& row : rows) {
    auto cells = nlohmann::ordered_json::array();
    for (const auto& cell : row.policies)
      cells.push_back({{"policy", cell.policy},
                       {"relative_to_min_min", cell.to_min_min},
                       {"relative_to_bound", cell.to_bound},
                       {"milliseconds", cell.ms}});
    all.push_back({{"class", row.name}, {"bound", row.bound}, {"policies", cells}});
  }
  return all.dump(2) + "\n";
}

}  // namespace godwit::sim
