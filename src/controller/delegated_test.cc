#include "controller/delegated.h"

#include <gtest/gtest.h>

#include "controller/decide.h"
#include "delegation/testing.h"

namespace godwit::controller {
namespace {

namespace dl = delegation;
using dl::testing::key_of;
using dl::testing::kNow;
using dl::testing::sure;

/// A controller with two nodes, and a unit of a user who allows what `grants` says.
class DelegatedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"node-1", "node-2", "node-3"}) {
      wire::NodeInfo node;
      node.set_name(name);
      node.set_arch("x86_64");
      node.mutable_load()->set_cpus(1);
      node.set_trace_key(key_of(name).public_key().base64());
      state_.nodes[name] = node;
      state_.seen[name] = now_.monotonic_ms;
      state_.registered.insert(name);
    }
    state_.log_key = log_.public_key();
  }
  std::string document(dl::Grants grants = dl::testing::wide_grants()) {
    return sure(dl::testing::document_of("user", std::move(grants)).sign(key_of("user"))).encode();
  }
  Outcome<RunPlan> run(const std::string& document, const std::string& id = "0123456789ab") {
    wire::UnitSpec spec;
    spec.add_argv("./sim");
    spec.set_cwd("/");
    spec.set_delegation(document);
    return plan_run(state_, now_, spec, "node-1", id);
  }
  void start(dl::Grants grants = dl::testing::wide_grants()) {
    auto plan = run(document(std::move(grants)));
    ASSERT_TRUE(plan) << plan.error().error.text;
    plan->changes.units.front().set_state(wire::RUNNING);
    apply(plan->changes);
  }
  void apply(Changes changes) {
    keep_up(state_, changes);
    state_.apply(changes);
  }
  Outcome<MovePlan> plan(const std::string& to) {
    return plan_move(state_, now_, state_.units.at(unit_), to, {}, "00000000000000" + std::to_string(++moves_ + 10));
  }
  /// What the nodes make of a move: the entry for the commit.
  std::string entry(const wire::Migration& m, const std::string& by = {}, uint64_t epochs = 1) {
    const auto papers = dl::decode_passage(*passage(state_, now_, m, log_));
    EXPECT_TRUE(papers);
    const auto admitted = dl::admit(*papers, {}, kNow);
    EXPECT_TRUE(admitted) << admitted.error().error().text;
    const dl::Digest state = dl::sha256("state " + m.id());
    const uint64_t epoch = m.epoch() + epochs;
    const std::string nonce = dl::testing::id_of("n");
    const dl::PrivateKey source = key_of(m.from()), destination = key_of(by.empty() ? m.to() : by);
    const auto sent =
        dl::hand_over(sure(dl::depart(*papers, epoch, nonce, {source, wish_}, kNow)), source, state, kNow);
    return sure(dl::take_over(*papers, *admitted, {destination, wish_}, *sent, epoch, state, nonce, kNow));
  }
  CommitVerdict commit_with(const wire::Migration& m, const std::string& entry) {
    wire::CommitRequest request;
    request.set_migration(m.id());
    request.set_unit(m.unit());
    request.set_epoch(m.epoch());
    request.set_node(m.to());
    request.set_entry(entry);
    return commit(state_, now_, request);
  }
  static std::string code(const auto& outcome) {
    if (outcome) return "ok";
    return outcome.error().blockers.empty() ? outcome.error().error.text : outcome.error().blockers.front().code;
  }

  State state_;
  Now now_{static_cast<int64_t>(kNow) * 1000, 1000};
  const dl::PrivateKey log_ = key_of("log of grid");
  std::optional<dl::Grants> wish_;  ///< of the nodes
  const std::string unit_ = "0123456789ab";
  int moves_ = 0;
};

TEST_F(DelegatedTest, what_goes_with_a_move_does_not_grow_with_the_grid) {
  start();
  auto move = plan("node-2");
  ASSERT_TRUE(move);
  apply(move->changes);
  const size_t before = passage(state_, now_, move->migration, log_)->size();
  for (int i = 0; i < 100; i++) {
    wire::NodeInfo node = state_.nodes["node-1"];
    node.set_name("other-" + std::to_string(i));
    state_.nodes[node.name()] = node;
    state_.revoked.insert(dl::testing::id_of(node.name()));
  }
  EXPECT_EQ(passage(state_, now_, move->migration, log_)->size(), before);
}

TEST_F(DelegatedTest, a_commit_appends_the_handover_and_no_commit_goes_without) {
  start();
  for (const char* to : {"node-2", "node-3", "node-1"}) {
    const auto planned = plan(to);
    ASSERT_TRUE(planned) << code(planned);
    apply(planned->changes);
    EXPECT_FALSE(commit_with(planned->migration, "").reply.granted());
    EXPECT_FALSE(commit_with(planned->migration, entry(planned->migration, "log of grid")).reply.granted());
    const std::string both = entry(planned->migration);
    const auto verdict = commit_with(planned->migration, both);
    ASSERT_TRUE(verdict.reply.granted()) << verdict.reply.reason();
    ASSERT_EQ(verdict.changes.delegations.size(), 1u);
    apply(verdict.changes);
    // Asked again, it is as it was.
    const auto again = commit_with(planned->migration, both);
    EXPECT_TRUE(again.reply.granted());
    EXPECT_TRUE(again.changes.empty());
  }
  const dl::Head& head = state_.delegations.at(unit_).log.head;
  EXPECT_EQ(head.sequence, 3u);
  EXPECT_EQ(head.epoch, 4u);
  EXPECT_EQ(head.holder, "grid/node-1");
}

TEST_F(DelegatedTest, an_entry_of_another_move_is_refused) {
  start();
  const auto first = plan("node-2");
  apply(first->changes);
  const std::string old = entry(first->migration);
  apply(commit_with(first->migration, old).changes);
  const auto back = plan("node-1");
  apply(back->changes);
  const auto verdict = commit_with(back->migration, old);
  EXPECT_FALSE(verdict.reply.granted());
  EXPECT_NE(verdict.reply.reason().find("replayed"), std::string::npos) << verdict.reply.reason();
}

// Both nodes together can sign what they like; the head would be in an epoch, or at a node, where the unit isn't.
TEST_F(DelegatedTest, an_entry_that_says_another_epoch_or_destination_than_the_move_is_refused) {
  start();
  auto move = plan("node-2");
  apply(move->changes);
  const auto reason = [&](const std::string& entry) { return commit_with(move->migration, entry).reply.reason(); };
  EXPECT_NE(reason(entry(move->migration, {}, 2)).find("other-epoch"), std::string::npos);
  wire::Migration elsewhere = move->migration;
  elsewhere.set_to("node-3");
  EXPECT_NE(reason(entry(elsewhere)).find("other-destination"), std::string::npos);
  EXPECT_TRUE(commit_with(move->migration, entry(move->migration)).reply.granted());
}

TEST_F(DelegatedTest, a_node_narrows_what_comes_after_it_and_the_log_keeps_it) {
  start();
  const auto there = plan("node-2");
  apply(there->changes);
  wish_ = dl::testing::wide_grants();
  wish_->nodes.untrusted = {"grid/node-3"};
  apply(commit_with(there->migration, entry(there->migration)).changes);
  const Delegated& row = state_.delegations.at(unit_);
  ASSERT_EQ(row.log.authority.caveats.size(), 1u);
  EXPECT_EQ(row.log.head.authority, row.log.authority.digest());
  EXPECT_EQ(delegated_of(unit_, to_bytes(row))->log.authority.digest(), row.log.authority.digest());
  EXPECT_EQ(code(plan("node-3")), "forbidden-node");
  // It is said once, and goes on with the unit.
  const auto back = plan("node-1");
  apply(back->changes);
  const auto verdict = commit_with(back->migration, entry(back->migration));
  ASSERT_TRUE(verdict.reply.granted()) << verdict.reply.reason();
  apply(verdict.changes);
  EXPECT_EQ(row.log.authority.caveats.size(), 1u);
}

TEST_F(DelegatedTest, what_the_document_forbids_is_found_before_anything_is_touched) {
  dl::Grants g = dl::testing::wide_grants();
  g.handovers = 0;
  g.nodes.untrusted = {"grid/node-3"};
  start(g);
  EXPECT_EQ(code(plan("node-2")), "over-limit");
  EXPECT_EQ(code(plan("node-3")), "forbidden-node");
  now_.wall_ms += 90'000'000;
  EXPECT_EQ(code(plan("node-2")), "expired");
}

TEST_F(DelegatedTest, a_document_is_good_for_one_unit) {
  start();
  EXPECT_EQ(code(run(document(), "ba9876543210")), "replayed");
  EXPECT_EQ(code(run("nonsense", "ba9876543210")), "not-json");
  Changes gone;
  gone.removed_units.push_back(unit_);  // it never started
  apply(gone);
  EXPECT_EQ(code(run(document(), "ba9876543210")), "ok");
}

TEST_F(DelegatedTest, a_revoked_one_stays) {
  start();
  Changes changes;
  changes.revocations.push_back(state_.delegations.at(unit_).log.authority.document.document.revocation);
  apply(changes);
  EXPECT_EQ(code(plan("node-2")), "revoked");
  EXPECT_EQ(unit_with_revocation(state_, changes.revocations.front()), unit_);
}

// A restore gives the unit to a node without a handover: the next handover starts from there.
TEST_F(DelegatedTest, a_restore_is_checked_and_a_branch_would_be_a_second_instance) {
  dl::Grants grants = dl::testing::wide_grants();
  grants.nodes.untrusted = {"grid/node-3"};
  start(grants);
  state_.units.at(unit_).set_state(wire::EXITED);
  const auto restore = [&](const std::string& node, bool branch = false) {
    return code(
        plan_restore(state_, now_, state_.units.at(unit_), 1, {.node = node, .branch = branch}, "fedcba987654"));
  };
  EXPECT_EQ(restore("node-2"), "ok");
  EXPECT_EQ(restore("node-3"), "forbidden-node");
  EXPECT_EQ(restore("node-2", true), "cloned");
  state_.revoked.insert(state_.delegations.at(unit_).log.authority.document.document.revocation);
  EXPECT_EQ(restore("node-2"), "revoked");
}

// An image that came in a file: of another grid, or of this one with another id written into it.
TEST_F(DelegatedTest, an_image_from_elsewhere_begins_as_an_instance_of_its_document) {
  const auto restore = [&](dl::Grants grants, const std::string& node = "node-2") {
    wire::Unit of;
    of.set_id("aaaaaaaaaaaa");
    of.set_state(wire::EXITED);
    of.mutable_spec()->add_argv("./sim");
    of.mutable_spec()->set_delegation(document(std::move(grants)));
    return plan_restore(state_, now_, of, 1, {.node = node, .branch = true}, "bbbbbbbbbbbb");
  };
  dl::Grants past = dl::testing::wide_grants(), elsewhere = past, idle = past;
  past.not_after = kNow - 1;
  elsewhere.nodes.untrusted = {"grid/node-2"};
  idle.operations = {"migrate"};
  EXPECT_EQ(code(restore(past)), "expired");
  EXPECT_EQ(code(restore(elsewhere)), "forbidden-node");
  EXPECT_EQ(code(restore(idle)), "forbidden-operation");
  state_.revoked.insert(dl::testing::id_of("revocation"));
  EXPECT_EQ(code(restore(dl::testing::wide_grants())), "revoked");
  state_.revoked.clear();

  auto plan = restore(dl::testing::wide_grants());
  ASSERT_TRUE(plan) << code(plan);
  apply(plan->changes);
  const dl::Head& head = state_.delegations.at("bbbbbbbbbbbb").log.head;
  EXPECT_EQ(head.holder, "grid/node-2");
  EXPECT_EQ(head.sequence, 0u);
  EXPECT_EQ(code(restore(dl::testing::wide_grants())), "replayed");
}

TEST_F(DelegatedTest, an_image_of_a_running_unit_under_another_id_is_no_second_one) {
  start();
  wire::Unit of = state_.units.at(unit_);
  of.set_id("aaaaaaaaaaaa");
  EXPECT_EQ(code(plan_restore(state_, now_, of, 1, {.node = "node-2", .branch = true}, "bbbbbbbbbbbb")), "replayed");
}

TEST_F(DelegatedTest, is_placed_where_its_document_lets_it_be) {
  dl::Grants grants = dl::testing::wide_grants();
  grants.nodes.untrusted = {"grid/node-1"};
  wire::UnitSpec spec;
  spec.add_argv("./sim");
  spec.set_cwd("/");
  spec.set_delegation(document(grants));
  const auto plan = plan_run(state_, now_, spec, "", "0123456789ab");
  ASSERT_TRUE(plan) << code(plan);
  EXPECT_NE(plan->unit.node(), "node-1");
}

TEST_F(DelegatedTest, a_restore_moves_the_holder) {
  start();
  const auto first = plan("node-2");
  apply(first->changes);
  apply(commit_with(first->migration, entry(first->migration)).changes);
  Changes restored;
  restored.units.push_back(state_.units.at(unit_));
  restored.units.back().set_epoch(7);
  restored.units.back().set_node("node-3");
  apply(restored);
  EXPECT_EQ(state_.delegations.at(unit_).log.head.holder, "grid/node-3");
  const auto next = plan("node-1");
  ASSERT_TRUE(next) << code(next);
  apply(next->changes);
  EXPECT_TRUE(commit_with(next->migration, entry(next->migration)).reply.granted());
}

TEST_F(DelegatedTest, comes_back_from_the_store_as_it_was) {
  start();
  const auto first = plan("node-2");
  apply(first->changes);
  apply(commit_with(first->migration, entry(first->migration)).changes);
  const Delegated& row = state_.delegations.at(unit_);
  const auto back = delegated_of(unit_, to_bytes(row));
  ASSERT_TRUE(back) << back.error().text;
  EXPECT_EQ(back->log.head, row.log.head);
  EXPECT_EQ(back->log.last_time, row.log.last_time);
  EXPECT_EQ(back->last, row.last);
  EXPECT_EQ(back->log.authority.digest(), row.log.authority.digest());
  EXPECT_FALSE(delegated_of(unit_, "nonsense"));
}

}  // namespace
}  // namespace godwit::controller
