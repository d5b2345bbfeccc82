#include "node/site_limits.h"

#include <gtest/gtest.h>

#include <vector>

namespace godwit::node {
namespace {

class SiteLimitsTest : public ::testing::Test {
 protected:
  SiteLimits::Clock::time_point now_;
  SiteLimits limits_{{.at_once = 2, .per_second = 1, .burst = 4}, [this] { return now_; }};
};

TEST_F(SiteLimitsTest, only_so_many_at_once_of_each_site) {
  auto a = limits_.take("away"), b = limits_.take("away");
  EXPECT_TRUE(a && b);
  EXPECT_FALSE(limits_.take("away"));
  EXPECT_TRUE(limits_.take("third"));
  b.reset();
  EXPECT_TRUE(limits_.take("away"));
}

TEST_F(SiteLimitsTest, only_so_many_in_a_time) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(limits_.take("away")) << i;
  EXPECT_FALSE(limits_.take("away"));
  now_ += std::chrono::seconds(1);
  EXPECT_TRUE(limits_.take("away"));
  EXPECT_FALSE(limits_.take("away"));
  now_ += std::chrono::hours(1);  // a rest of any length is worth a burst
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(limits_.take("away")) << i;
  EXPECT_FALSE(limits_.take("away"));
}

TEST_F(SiteLimitsTest, the_own_site_has_none) {
  std::vector<std::optional<SiteLimits::Ticket>> held;
  for (int i = 0; i < 100; ++i) {
    held.push_back(limits_.take(""));
    EXPECT_TRUE(held.back());
  }
}

}  // namespace
}  // namespace godwit::node
