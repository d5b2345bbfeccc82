#include "delegation/admission.h"

#include <gtest/gtest.h>

#include "delegation/testing.h"

namespace godwit::delegation {
namespace {

using testing::id_of;
using testing::key_of;
using testing::kNow;
using testing::sure;
using testing::World;

std::string code(const auto& checked) { return checked ? "ok" : std::string(checked.error().code()); }

// A whole handover, as the two nodes and the log do it.
TEST(Handover, goes_from_node_to_node) {
  World w;
  w.start();
  for (const std::string to : {"home/node-2", "away/node-7", "home/node-3"}) {
    const auto admitted = admit(w.offer(), w.question(to), w.trust);
    ASSERT_TRUE(admitted) << admitted.error().error().text;
    const Entry e = w.next(to);
    const std::string sent = sure(e.sign(key_of(e.source))).encode();
    auto accepted = accept(*admitted, sent, {to, e.epoch, e.state, e.nonce}, w.trust, kNow);
    ASSERT_TRUE(accepted) << accepted.error().error().text;
    accepted->envelope.sign(key_of(to));
    auto appended = append(w.state, {}, *accepted, w.trust, kNow);
    ASSERT_TRUE(appended) << appended.error().error().text;
    w.state = *std::move(appended);
    w.entries.push_back(*accepted);
  }
  EXPECT_EQ(w.state.head.holder, "home/node-3");
  EXPECT_EQ(code(audit(w.authority(), w.entries, w.state.head, w.trust)), "ok");
}

// One source, two destinations: both verify, one gets it.
TEST(Handover, a_clone_wins_nothing) {
  World w;
  w.start();
  w.hops(1);
  const Offer offer = w.offer();
  for (const char* to : {"home/node-1", "home/node-3"}) EXPECT_EQ(code(admit(offer, w.question(to), w.trust)), "ok");
  const SignedEntry first = sure(read_entry(World::cosigned(w.next("home/node-1")).encode(), 2));
  const SignedEntry second = sure(read_entry(World::cosigned(w.next("home/node-3")).encode(), 2));
  const LogState after = sure(append(w.state, {}, first, w.trust, kNow));
  EXPECT_EQ(code(append(after, {}, second, w.trust, kNow)), "cloned");
  EXPECT_EQ(code(append(after, {}, first, w.trust, kNow)), "replayed");
}

// What was given away is offered once more with the head of before: the destination may be fooled, the log isn't.
TEST(Handover, an_old_head_is_refused_at_the_log_at_last) {
  World w;
  w.start();
  w.hops(1);
  const World before = w;
  w.hop("home/node-1");
  ASSERT_EQ(code(admit(before.offer(), before.question("home/node-3"), w.trust)), "ok");
  const SignedEntry stale = sure(read_entry(World::cosigned(before.next("home/node-3")).encode(), 2));
  EXPECT_EQ(code(append(w.state, {}, stale, w.trust, kNow)), "cloned");
  // One that has seen more isn't even fooled.
  Question q = before.question("home/node-3");
  q.known = Known{w.state.head.sequence, w.state.head.epoch, w.state.head.entry};
  EXPECT_EQ(code(admit(before.offer(), q, w.trust)), "rolled-back");
}

// Two nodes sign a history between themselves that never was.
TEST(Handover, a_history_that_two_nodes_invented_is_none) {
  World w;
  w.start();
  w.hops(2);
  World lie;
  lie.start("home/node-3");
  lie.hop("home/node-2");
  Offer offer = lie.offer();
  offer.head = w.head();
  Question q = lie.question("home/node-1");
  EXPECT_EQ(code(admit(offer, q, w.trust)), "not-the-holder");
  // They can make a log, too. Nobody trusts it.
  Head h = lie.state.head;
  h.time = kNow;
  offer.head = sure(h.sign(key_of("home/node-3"))).encode();
  EXPECT_EQ(code(admit(offer, q, w.trust)), "unknown-key");
}

TEST(Handover, an_offer_has_the_same_size_however_far_it_came) {
  World w;
  w.start();
  w.hops(2);
  const auto size = [&] {
    const Offer o = w.offer();
    return o.document.size() + o.head.size() + o.last.size();
  };
  const size_t before = size();
  w.hops(40);
  EXPECT_LE(size(), before + 16);  // numbers with another digit
}

TEST(Handover, an_offer_that_is_too_large_is_not_read) {
  World w;
  w.start();
  Offer offer = w.offer();
  offer.caveats.assign(5, std::string(kMaxOffer / 4, 'A'));
  EXPECT_EQ(code(admit(offer, w.question("home/node-2"), w.trust)), "too-large");
}

TEST(Log, begins_where_the_user_allows) {
  const auto begin = [](Grants g, const std::string& node, uint64_t now = kNow) {
    const World w(std::move(g));
    return code(open_log(w.authority(), "home", node, 1, now, w.trust));
  };
  EXPECT_EQ(begin(testing::wide_grants(), "home/node-1"), "ok");
  Grants g = testing::wide_grants();
  g.operations = {"migrate"};
  EXPECT_EQ(begin(g, "home/node-1"), "forbidden-operation");
  g = testing::wide_grants();
  g.sites.trusted = {"away"};
  EXPECT_EQ(begin(g, "home/node-1"), "forbidden-site");
  EXPECT_EQ(begin(testing::wide_grants(), "home/node-1", kNow + 90000), "expired");
  World w;
  w.trust.users.clear();
  EXPECT_EQ(code(open_log(w.authority(), "home", "home/node-1", 1, kNow, w.trust)), "untrusted-user");
}

}  // namespace
}  // namespace godwit::delegation
