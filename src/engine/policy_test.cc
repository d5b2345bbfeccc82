#include "engine/policy.h"

#include <gtest/gtest.h>

namespace godwit::engine {
namespace {

TEST(PrecopyPolicy, stops_when_the_rest_fits_and_when_rounds_no_longer_shrink) {
  PrecopyPolicy shrinking({0.5, 16});
  EXPECT_EQ(shrinking.after_round(1u << 30, 700), nullptr);
  EXPECT_EQ(shrinking.after_round(140u << 20, 90), nullptr);
  EXPECT_EQ(shrinking.after_round(18u << 20, 12), nullptr);
  EXPECT_NE(shrinking.after_round(24u << 15, 1), nullptr);
  PrecopyPolicy stuck({2, 16});
  unsigned rounds = 0;
  while (stuck.after_round(200u << 20, 100) == nullptr) rounds++;
  EXPECT_LE(rounds, 4u);
}

}  // namespace
}  // namespace godwit::engine
