#include "sched/etc_classes.h"

#include <gtest/gtest.h>

namespace godwit::sched {
namespace {

double makespan(const char* policy, const Problem& p) {
  Settings s;
  s.flow_weight = 0;  // theirs is the makespan alone
  s.generations = 150, s.population = 60, s.iterations = 300;
  return decide(*choose(policy, s), p).after.makespan;
}

TEST(EtcClasses, are_what_their_names_say) {
  for (const auto& name : etc_classes()) {
    const auto p = etc_class(name, 64, 8, 1);
    ASSERT_TRUE(p);
    const size_t step = name[0] == 's' ? 2 : 1;
    bool sorted = true;
    for (size_t u = 0; u < 64; ++u)
      for (size_t n = step; n < 8; n += step) sorted = sorted && p->etc.at(u, n - step) <= p->etc.at(u, n);
    EXPECT_EQ(sorted, name[0] != 'i') << name;
  }
  EXPECT_FALSE(etc_class("x-hihi", 1, 1, 1));
}

// The order of Braun et al.'s Figures 4 to 7: GA before Min-min, that before MCT, OLB last; nothing below the bound.
TEST(EtcClasses, put_the_heuristics_in_the_order_of_the_literature) {
  for (const char* name : {"c-hihi", "s-hilo", "i-lohi"}) {
    const auto p = etc_class(name, 128, 8, 7);
    ASSERT_TRUE(p);
    const double min_min = makespan("min-min-s", *p), ga = makespan("ga-s", *p), tabu = makespan("tabu-s", *p);
    const double mct = makespan("mct-s", *p), olb = makespan("olb-s", *p);
    EXPECT_LE(ga, min_min) << name;
    EXPECT_LE(tabu, min_min) << name;
    EXPECT_LT(min_min, mct * 1.05) << name;
    EXPECT_LT(mct, olb) << name;
    EXPECT_GE(std::min(ga, tabu), lower_bound(*p)) << name;
  }
}

}  // namespace
}  // namespace godwit::sched
