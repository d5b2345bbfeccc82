#include "confine/confine.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace godwit::confine {
namespace {

TEST(Rules, are_none_of_a_document_that_limits_nothing) {
  delegation::Grants grants;
  EXPECT_FALSE(rules_of(grants).any());
  EXPECT_TRUE(missing(rules_of(grants)).empty());
  grants.operations = {"run"};
  grants.handovers = 1;
  EXPECT_FALSE(rules_of(grants).any());
  EXPECT_FALSE(rules_of_document("")->any());
}

TEST(Rules, are_whatever_a_document_doesnt_leave_open) {
  delegation::Grants paths, addresses, memory;
  paths.write = {"/tmp"};
  EXPECT_TRUE(rules_of(paths).paths);
  EXPECT_FALSE(rules_of(paths).addresses);
  addresses.listen = {};
  EXPECT_TRUE(rules_of(addresses).addresses);
  EXPECT_EQ(rules_of(addresses).connect.size(), 2u);
  memory.limits.memory_bytes = 1;
  EXPECT_TRUE(rules_of(memory).any());
}

TEST(Rules, arent_taken_from_a_document_that_cant_be_read) { EXPECT_FALSE(rules_of_document("{}")); }

TEST(KeptCapabilities, arent_among_those_that_lift_rules) {
  Rules rules;
  constexpr int kSysAdmin = 21, kNetAdmin = 12, kNetRaw = 13, kBpf = 39, kMknod = 27, kSysModule = 16;
  for (const int c : {kSysAdmin, kNetAdmin, kBpf, kMknod, kSysModule})
    EXPECT_EQ(kept_capabilities(rules) >> c & 1, 0u) << c;
  EXPECT_EQ(kept_capabilities(rules) >> kNetRaw & 1, 1u);
  rules.addresses = true;
  EXPECT_EQ(kept_capabilities(rules) >> kNetRaw & 1, 0u);
}

TEST(Refusals, are_sorted_by_code) {
  EXPECT_TRUE(std::ranges::is_sorted(refusals(), {}, &Refusal::code));
  EXPECT_EQ(make_blocker("enforce-cpu", "here", "x").object, "here");
}

}  // namespace
}  // namespace godwit::confine
