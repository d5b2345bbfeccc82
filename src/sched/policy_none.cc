// None: what has to go goes where it is done soonest (settle.cc), all else stays. What rescheduling is measured against.
#include "sched/weighted.h"

namespace godwit::sched {

Mapping map_none(const Weighted& view) { return staying(view.problem); }

}  // namespace godwit::sched
