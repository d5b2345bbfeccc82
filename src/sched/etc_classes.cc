#include "sched/etc_classes.h"

#include <algorithm>

#include "sched/random.h"

namespace godwit::sched {

const std::vector<std::string>& etc_classes() {
  static const std::vector<std::string> kNames = {"c-hihi", "c-hilo", "c-lohi", "c-lolo", "s-hihi", "s-hilo",
                                                  "s-lohi", "s-lolo", "i-hihi", "i-hilo", "i-lohi", "i-lolo"};
  return kNames;
}

Result<Problem> etc_class(const std::string& name, size_t units, size_t nodes, uint64_t seed) {
  if (std::ranges::find(etc_classes(), name) == etc_classes().end())
    return fail(Code::kUsage, "no ETC class \"" + name + "\"; the first is c-hihi");
  const double tasks = name.substr(2, 2) == "hi" ? 3000 : 100, machines = name.substr(4, 2) == "hi" ? 1000 : 10;
  Random random(seed);
  Problem p;
  p.etc = Matrix(units, nodes);
  p.cost = Matrix(units, nodes);
  p.at.assign(units, kNowhere);
  p.width.assign(units, 1);
  p.memory.assign(units, 0);
  p.cpus.assign(nodes, 1);
  p.room.assign(nodes, kNever);
  p.event = {EventKind::kSubmit, kNowhere};
  for (size_t u = 0; u < units; ++u) {
    const double base = random.uniform(1, tasks);
    std::vector<double> row(nodes);
    for (double& cell : row) cell = base * random.uniform(1, machines);
    const size_t step = name[0] == 'c' ? 1 : 2;
    if (name[0] != 'i') {
      std::vector<double> sorted;
      for (size_t n = 0; n < nodes; n += step) sorted.push_back(row[n]);
      std::ranges::sort(sorted);
      for (size_t n = 0; n < nodes; n += step) row[n] = sorted[n / step];
    }
    for (size_t n = 0; n < nodes; ++n) p.etc.at(u, n) = row[n];
  }
  return p;
}

double lower_bound(const Problem& p) {
  double sum = 0, longest = 0;
  for (size_t u = 0; u < p.units(); ++u) {
    double least = kNever;
    for (size_t n = 0; n < p.nodes(); ++n) least = std::min(least, p.etc.at(u, n));
    if (least == kNever) continue;
    sum += least, longest = std::max(longest, least);
  }
  return p.nodes() == 0 ? 0 : std::max(longest, sum / static_cast<double>(p.nodes()));
}

}  // namespace godwit::sched
