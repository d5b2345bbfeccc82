#include "delegation/passage.h"

#include <gtest/gtest.h>

#include "delegation/testing.h"

namespace godwit::delegation {
namespace {

using testing::key_of;
using testing::kNow;
using testing::World;

TEST(Passage, is_enough_for_both_nodes) {
  World w;
  w.start();
  w.hops(1);
  const auto p = decode_passage(encode(Passage{w.offer(), w.trust, "home/node-2", "away/node-7"}));
  ASSERT_TRUE(p) << p.error().text;
  const std::string nonce = nonce_of_token("token");
  const Digest state = sha256("state");
  const auto admitted = admit(*p, {}, kNow);
  ASSERT_TRUE(admitted) << admitted.error().error().text;
  const auto sent = hand_over(*p, key_of("home/node-2"), 3, state, nonce, kNow);
  ASSERT_TRUE(sent);
  EXPECT_EQ(take_over(*p, *admitted, key_of("away/node-7"), *sent, sha256("x"), nonce, kNow).error().code(),
            "altered-state");
  const auto both = take_over(*p, *admitted, key_of("away/node-7"), *sent, state, nonce, kNow);
  ASSERT_TRUE(both) << both.error().error().text;
  EXPECT_TRUE(append(w.state, {}, testing::sure(read_entry(*both, 2)), w.trust, kNow));
}

TEST(Passage, what_is_none_is_refused) {
  for (const char* text :
       {"", "[]", "{}", R"({"document":"x"})", R"({"document":"x","destination":"a/b","users":{"u":1}})",
        R"({"document":"x","destination":"a/b","nodes":{"u":"short"}})"})
    EXPECT_FALSE(decode_passage(text)) << text;
}

}  // namespace
}  // namespace godwit::delegation
