// The matrices of Braun et al. (sched/etc_classes.h): makespan of each heuristic relative to Min-min, mean of some trials.
#include <fmt/format.h>

#include <chrono>
#include <map>

#include "sched/etc_classes.h"
#include "sim/sim.h"

namespace godwit::sim {

Result<std::string> classes_table(size_t trials, size_t units, size_t nodes, bool as_csv) {
  const std::vector<std::string> names = {"min-min-s", "max-min-s", "sufferage-s", "mct-s", "olb-s", "ga-s", "tabu-s"};
  sched::Settings settings;
  settings.flow_weight = 0;  // theirs is the makespan alone
  settings.population = 200, settings.generations = 1000, settings.iterations = 4000;
  std::string out =
      as_csv ? "class,policy,relative_to_min_min,relative_to_bound,milliseconds\n" : fmt::format("{:<8}", "class");
  if (!as_csv) {
    for (const auto& name : names) out += fmt::format(" {:>11}", name.substr(0, name.size() - 2));
    out += fmt::format(" {:>11}\n", "bound");
  }
  for (const auto& name : sched::etc_classes()) {
    std::map<std::string, double> relative, to_bound, ms;
    double bound = 0;
    for (size_t trial = 1; trial <= trials; ++trial) {
      TRY(const sched::Problem p, sched::etc_class(name, units, nodes, trial));
      double min_min = 0;
      const double n = static_cast<double>(trials);
      for (const auto& policy : names) {
        TRY(const auto choice, sched::choose(policy, settings));
        const auto began = std::chrono::steady_clock::now();
        const double makespan = sched::decide(choice, p).after.makespan;
        ms[policy] += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count() / n;
        if (min_min == 0) min_min = makespan;
        relative[policy] += makespan / min_min / n;
        to_bound[policy] += makespan / sched::lower_bound(p) / n;
      }
      bound += sched::lower_bound(p) / min_min / n;
    }
    if (!as_csv) out += fmt::format("{:<8}", name);
    for (const auto& policy : names)
      out += as_csv ? fmt::format("{},{},{:.4f},{:.4f},{:.1f}\n", name, policy, relative[policy], to_bound[policy],
                                  ms[policy])
                    : fmt::format(" {:>11.3f}", relative[policy]);
    if (!as_csv) out += fmt::format(" {:>11.3f}\n", bound);
  }
  return out;
}

}  // namespace godwit::sim
