#include "delegation/passage.h"

#include <gtest/gtest.h>

#include <functional>

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
  const PrivateKey leaving = key_of("home/node-2"), arriving = key_of("away/node-7");
  const std::optional<Grants> none;
  const auto departing = depart(*p, 3, nonce, {leaving, none}, kNow);
  ASSERT_TRUE(departing) << departing.error().error().text;
  const auto sent = hand_over(*departing, leaving, state, kNow);
  ASSERT_TRUE(sent);
  const auto taken = [&](uint64_t epoch, const Digest& came) {
    return take_over(*p, *admitted, {arriving, none}, *sent, epoch, came, nonce, kNow);
  };
  EXPECT_EQ(taken(3, sha256("x")).error().code(), "altered-state");
  EXPECT_EQ(taken(4, state).error().code(), "other-epoch");
  const auto both = taken(3, state);
  ASSERT_TRUE(both) << both.error().error().text;
  EXPECT_TRUE(append(w.state, {}, testing::sure(read_entry(*both, 2)), w.trust, kNow));
}

/// Both nodes have a word of their own; `w` is at home/node-1 and nothing was said yet.
class Words : public ::testing::Test {
 protected:
  void SetUp() override { w_.start(); }
  Checked<std::string> handed(const std::optional<Grants>& leaving, const std::optional<Grants>& arriving,
                              const std::function<void(Statement&)>& spoil = {}) {
    const Passage p{w_.offer(), w_.trust, w_.state.head.holder, "away/node-7"};
    TRY(const Admission admitted, admit(p, {}, kNow));
    const uint64_t epoch = w_.state.head.epoch + 1;
    TRY(const Departure departing, depart(p, epoch, id_, {source_, leaving}, kNow));
    TRY(const std::string sent, hand_over(departing, source_, state_, kNow));
    TRY(Statement statement, read_statement(sent));
    if (spoil) spoil(statement);
    return take_over(p, admitted, {destination_, arriving}, encode(statement), epoch, state_, id_, kNow);
  }
  Checked<LogState> logged(const std::string& text) {
    TRY(const Statement s, read_statement(text));
    TRY(const SignedEntry entry, read_entry(s.entry, 2));
    TRY(LogState state, append(w_.state, s.before, entry, w_.trust, kNow));
    return narrow(std::move(state), s.after, w_.trust, kNow);
  }
  static Grants at_most(uint64_t handovers) {
    Grants g = testing::wide_grants();
    g.handovers = handovers;
    return g;
  }
  World w_;
  const PrivateKey source_ = key_of("home/node-1"), destination_ = key_of("away/node-7");
  const Digest state_ = sha256("state");
  const std::string id_ = testing::id_of("n");
};

TEST_F(Words, of_both_nodes_are_in_the_log_and_bind_whoever_comes_next) {
  const auto both = handed(at_most(7), at_most(5));
  ASSERT_TRUE(both) << both.error().error().text;
  const auto after = logged(*both);
  ASSERT_TRUE(after) << after.error().error().text;
  ASSERT_EQ(after->authority.caveats.size(), 2u);
  EXPECT_EQ(after->authority.caveats[0].caveat.node, "home/node-1");
  EXPECT_EQ(after->authority.caveats[1].caveat.node, "away/node-7");
  EXPECT_EQ(after->authority.grants().handovers, 5u);
  EXPECT_EQ(after->head.authority, after->authority.digest());
  // The list that anybody may look at is good, with the caveat that no entry speaks of yet, and not without it.
  const SignedEntry entry = testing::sure(read_entry(testing::sure(read_statement(*both)).entry, 2));
  EXPECT_TRUE(audit(after->authority, {entry}, after->head, w_.trust));
  Authority less = after->authority;
  less.caveats.pop_back();
  EXPECT_EQ(audit(less, {entry}, after->head, w_.trust).error().code(), "caveats-removed");
}

TEST_F(Words, are_not_said_twice) {
  const auto both = handed(at_most(5), at_most(9));
  ASSERT_TRUE(both);
  EXPECT_TRUE(testing::sure(read_statement(*both)).after.empty());
}

TEST_F(Words, of_the_source_can_forbid_the_destination) {
  Grants g = testing::wide_grants();
  g.sites.untrusted = {"away"};
  EXPECT_EQ(handed(g, {}).error().code(), "forbidden-site");
}

TEST_F(Words, that_are_lost_or_made_up_on_the_way_are_found_before_the_state_is_read) {
  EXPECT_EQ(handed(at_most(7), {}, [](Statement& s) { s.before.clear(); }).error().code(), "caveats-removed");
  EXPECT_EQ(handed(at_most(7), {}, [](Statement& s) { s.after = s.before; }).error().code(), "not-the-holder");
  EXPECT_EQ(handed({}, {},
                   [&](Statement& s) {
                     Authority a = w_.authority();
                     s.before.push_back(**narrow(a, "home/node-1", 0, at_most(7), key_of("home/node-3"), kNow));
                   })
                .error()
                .code(),
            "unknown-key");
}

TEST_F(Words, that_widen_are_refused_by_the_log_too) {
  const auto both = handed({}, at_most(5));
  ASSERT_TRUE(both);
  Statement s = testing::sure(read_statement(*both));
  const SignedEntry entry = testing::sure(read_entry(s.entry, 2));
  Caveat wide{w_.state.head.document, w_.authority().digest(), "away/node-7", 1, kNow, at_most(2000)};
  s.after = {testing::sure(wide.sign(destination_)).encode()};
  EXPECT_EQ(logged(encode(s)).error().code(), "widened");
  // The source has it no more: its word comes too late.
  Caveat late{w_.state.head.document, w_.authority().digest(), "home/node-1", 1, kNow, at_most(3)};
  s.after = {testing::sure(late.sign(source_)).encode()};
  EXPECT_EQ(logged(encode(s)).error().code(), "not-the-holder");
}

TEST(Narrowed, is_what_both_allow) {
  Grants a = testing::wide_grants(), b = testing::wide_grants();
  a.read = {"/data", "/usr"};
  b.read = {"/data/in", "/etc"};
  a.connect = {"10.0.0.0/8 80-443"};
  b.connect = {"0.0.0.0/0 443-443", "10.1.0.0/16 0-65535"};
  a.sites.trusted = {"away", "home"};
  b.sites.untrusted = {"away"};
  a.limits.memory_bytes = 100;
  b.limits = {.cpu_percent = 50, .memory_bytes = 200};
  b.operations = {"run"};
  b.conditions = {"processes <= 10"};
  const Grants out = testing::sure(narrowed(a, b));
  EXPECT_EQ(out.read, (std::vector<std::string>{"/data/in"}));
  EXPECT_EQ(out.connect, (std::vector<std::string>{"10.0.0.0/8 443-443", "10.1.0.0/16 80-443"}));
  EXPECT_EQ(out.sites.trusted, (std::vector<std::string>{"away", "home"}));
  EXPECT_EQ(out.sites.untrusted, (std::vector<std::string>{"away"}));
  EXPECT_EQ(out.limits, (Limits{50, 100, 0}));
  EXPECT_EQ(out.operations, (std::vector<std::string>{"run"}));
  EXPECT_EQ(out.conditions, (std::vector<std::string>{"processes <= 10"}));
  EXPECT_TRUE(a.check_narrower(out));
  EXPECT_TRUE(b.check_narrower(out));
  EXPECT_EQ(testing::sure(narrowed(out, a)), out);
}

TEST(Passage, what_is_none_is_refused) {
  for (const char* text :
       {"", "[]", "{}", R"({"document":"x"})", R"({"document":"x","destination":"a/b","users":{"u":1}})",
        R"({"document":"x","destination":"a/b","nodes":{"u":"short"}})"})
    EXPECT_FALSE(decode_passage(text)) << text;
}

}  // namespace
}  // namespace godwit::delegation
