#include "delegation/policy.h"

#include <gtest/gtest.h>

#include "delegation/testing.h"

namespace godwit::delegation {
namespace {

using testing::kNow;

std::string code(const auto& checked) { return checked ? "ok" : std::string(checked.error().code()); }

TEST(Policy, says_only_what_differs) {
  const auto g = grants_of_policy(R"({
    // sets in any order
    "read": ["/usr", "/data", "/usr"], "nodes": {"untrusted": ["home/node-3"]},
    "limits": {"processes": 7}, "days": 2, "handovers": 3})",
                                  kNow);
  ASSERT_TRUE(g) << g.error().error().text;
  EXPECT_EQ(g->read, (std::vector<std::string>{"/data", "/usr"}));
  EXPECT_EQ(g->write, (std::vector<std::string>{"/"}));
  EXPECT_EQ(g->nodes.trusted, (std::vector<std::string>{"*"}));
  EXPECT_EQ(g->nodes.untrusted, (std::vector<std::string>{"home/node-3"}));
  EXPECT_EQ(g->limits.processes, 7u);
  EXPECT_EQ(g->not_after, kNow + 2 * 86400);
  EXPECT_EQ(g->handovers, 3u);
}

TEST(Policy, what_means_nothing_is_an_error) {
  const std::pair<const char*, const char*> bad[] = {{"[]", "not-json"},
                                                     {"{", "not-json"},
                                                     {R"({"raed": ["/"]})", "unknown-field"},
                                                     {R"({"days": 0})", "bad-number"},
                                                     {R"({"days": "two"})", "bad-number"},
                                                     {R"({"limits": {"gpus": 1}})", "unknown-field"},
                                                     {R"({"read": null})", "missing-field"},
                                                     {R"({"read": ["data"]})", "bad-path"},
                                                     {R"({"handovers": -1})", "wrong-type"},
                                                     {R"({"read": [[[[[[1]]]]]]})", "too-deep"}};
  for (const auto& [text, expected] : bad) EXPECT_EQ(code(grants_of_policy(text, kNow)), expected) << text;
  EXPECT_EQ(code(grants_of_policy("{}", kNow)), "ok");
}

TEST(Policy, two_documents_are_never_the_same) {
  const auto key = testing::key_of("user");
  const Document a = new_document(key.public_key(), sha256("p"), sha256("a"), default_grants(kNow));
  const Document b = new_document(key.public_key(), sha256("p"), sha256("a"), default_grants(kNow));
  EXPECT_NE(a.instance, b.instance);
  EXPECT_NE(a.revocation, b.revocation);
  const auto read = read_document(testing::sure(a.sign(key)).encode());
  ASSERT_TRUE(read);
  EXPECT_NE(describe(*read).find(a.instance), std::string::npos);
}

}  // namespace
}  // namespace godwit::delegation
