// The ETC matrices on which mapping heuristics are compared, by the range-based method of Braun et al., JPDC 61(6), 2001 (and
// Ali et al., HCW 2000). A unit has a base time, uniform in [1, R_task); each node a factor for it, uniform in [1, R_machine).
// Heterogeneity of tasks: R 3000 or 100; of machines: 1000 or 10. Consistent: a node that is faster for one unit is so for all
// (each row sorted). Semi-consistent: so are those of even number.
#pragma once

#include <string>
#include <vector>

#include "sched/sched.h"

namespace godwit::sched {

/// "c-hihi" "i-lohi" "s-lolo" …: consistency, heterogeneity of tasks, of machines. All twelve.
const std::vector<std::string>& etc_classes();
/// Units that wait to be placed on idle nodes of one CPU.
Result<Problem> etc_class(const std::string& name, size_t units, size_t nodes, uint64_t seed);
/// No mapping of p onto single-CPU nodes is done sooner: the longest of the units' shortest times, and the mean load if each unit
/// took its shortest.
double lower_bound(const Problem& p);

}  // namespace godwit::sched
