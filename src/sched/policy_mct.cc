// MCT and OLB: one unit after the other, in the order in which they are known.
//
// Minimum completion time: each to the node where it is done soonest, beside those placed before it. Opportunistic load
// balancing: each to the node that is idle soonest, however slow it is for that unit; here to show what knowing ETC is worth.
// Source of both names: Armstrong, Hensgen and Kidd, "The Relative Performance of Various Mapping Algorithms is Independent of
// Sizable Variances in Run-time Predictions", HCW 1998; compared in Braun et al., JPDC 61(6), 2001.
#include "sched/weighted.h"

namespace godwit::sched {

Mapping map_mct(const Weighted& view) {
  std::vector<size_t> open;
  Loads loads = only_fixed(view, open);
  for (const size_t u : open)
    if (const Best best = loads.soonest(u); best.node != kNowhere) loads.add(u, static_cast<size_t>(best.node));
  return loads.mapping();
}

Mapping map_olb(const Weighted& view) {
  std::vector<size_t> open;
  Loads loads = only_fixed(view, open);
  for (const size_t u : open) {
    int idlest = kNowhere;
    for (size_t n = 0; n < view.nodes(); ++n)
      if (loads.fits(u, n) && (idlest == kNowhere || loads.finish(n) < loads.finish(static_cast<size_t>(idlest))))
        idlest = static_cast<int>(n);
    if (idlest != kNowhere) loads.add(u, static_cast<size_t>(idlest));
  }
  return loads.mapping();
}

}  // namespace godwit::sched
