#include "controller/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "controller/ledger.h"

namespace godwit::controller {
namespace {

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/godwit-store-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    path_ = dir_ + "/controller.db";
  }
  void TearDown() override { (void)sys::remove_tree(dir_); }
  static wire::Unit unit(const std::string& id, uint64_t epoch) {
    wire::Unit u;
    u.set_id(id);
    u.set_epoch(epoch);
    u.set_node("a");
    u.set_state(wire::RUNNING);
    u.mutable_spec()->set_name("name-" + id);
    return u;
  }
  static wire::Migration migration(const std::string& id, const std::string& unit, uint64_t epoch) {
    wire::Migration m;
    m.set_id(id);
    m.set_unit(unit);
    m.set_from("a");
    m.set_to("b");
    m.set_epoch(epoch);
    m.set_state(wire::PLANNED);
    return m;
  }
  static Changes planned() {
    Changes changes;
    changes.units.push_back(unit("u1", 4));
    changes.migrations.push_back(migration("m1", "u1", 4));
    return changes;
  }
  static wire::CommitRequest commit_request() {
    wire::CommitRequest request;
    request.set_migration("m1");
    request.set_unit("u1");
    request.set_epoch(4);
    request.set_node("b");
    return request;
  }
  std::string dir_;
  std::string path_;
};

TEST_F(StoreTest, gives_back_what_was_written) {
  {
    auto store = Store::open(path_);
    ASSERT_TRUE(store) << store.error().message();
    Changes changes = planned();
    changes.tokens.push_back({"digest", "b", 77});
    wire::Checkpoint c;
    c.set_unit("u1");
    c.set_number(3);
    changes.checkpoints.push_back(c);
    ASSERT_TRUE(store->write(changes));
  }
  auto store = Store::open(path_);
  ASSERT_TRUE(store);
  auto state = store->load();
  ASSERT_TRUE(state) << state.error().message();
  EXPECT_EQ(state->units.at("u1").epoch(), 4u);
  EXPECT_EQ(state->open_moves.at("u1"), "m1");
  EXPECT_EQ(state->tokens.at("digest").expires_ms, 77);
  EXPECT_EQ((state->checkpoints.at({"u1", 3}).number()), 3u);
  EXPECT_EQ(state->secret.size(), 64u);
  EXPECT_TRUE(state->uncertain.empty());  // the same start of the machine: nothing that was written is lost
}

TEST_F(StoreTest, what_is_removed_of_rescheduling_stays_so) {
  Changes changes;
  changes.meta = {{"sched.work.a", "1 1"}, {"sched.work.b", "2 1"}};
  {
    auto store = Store::open(path_);
    ASSERT_TRUE(store);
    ASSERT_TRUE(store->write(changes));
    Changes removed;
    removed.removed_meta.emplace_back("sched.work.a");
    EXPECT_FALSE(removed.empty());
    ASSERT_TRUE(store->write(removed));
  }
  auto store = Store::open(path_);
  ASSERT_TRUE(store);
  const auto state = store->load();
  ASSERT_TRUE(state);
  EXPECT_EQ(state->meta, (std::map<std::string, std::string>{{"sched.work.b", "2 1"}}));
}

TEST_F(StoreTest, a_guard_that_does_not_hold_writes_nothing) {
  auto store = Store::open(path_);
  ASSERT_TRUE(store);
  ASSERT_TRUE(store->write(planned()));
  Changes changes;
  changes.units.push_back(unit("u1", 6));
  changes.unit_guard = UnitGuard{"u1", 5};
  const auto refused = store->write(changes);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kRefused);
  EXPECT_EQ(store->load()->units.at("u1").epoch(), 4u);
}

TEST_F(StoreTest, a_final_migration_can_not_be_changed) {
  auto store = Store::open(path_);
  ASSERT_TRUE(store);
  ASSERT_TRUE(store->write(planned()));
  Changes abort;
  abort.migrations.push_back(migration("m1", "u1", 4));
  abort.migrations.back().set_state(wire::ABORTED);
  abort.migration_guard = MigrationGuard{"m1", wire::PLANNED};
  ASSERT_TRUE(store->write(abort));
  Changes commit = abort;
  commit.migrations.back().set_state(wire::COMMITTED);
  EXPECT_FALSE(store->write(commit));
  EXPECT_EQ(store->load()->migrations.at("m1").state(), wire::ABORTED);
}

TEST_F(StoreTest, a_second_controller_is_refused) {
  auto first = Store::open(path_);
  ASSERT_TRUE(first);
  const auto second = Store::open(path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kRefused);
  EXPECT_NE(second.error().text.find("another controller"), std::string::npos) << second.error().text;
}

TEST_F(StoreTest, a_foreign_file_is_refused) {
  ASSERT_TRUE(io::replace_file(path_, std::string(8192, 'x')));
  EXPECT_FALSE(Store::open(path_));
}

TEST_F(StoreTest, after_another_start_of_the_machine_planned_migrations_are_uncertain) {
  {
    auto store = Store::open(path_);
    ASSERT_TRUE(store && store->load());
    ASSERT_TRUE(store->write(planned()));
  }
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "UPDATE meta SET value='another boot' WHERE key='boot'", nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(db);
  {
    auto store = Store::open(path_);
    ASSERT_TRUE(store);
    EXPECT_TRUE(store->load()->uncertain.contains("m1"));
  }
  {  // a second crash before anything was cleared up
    auto store = Store::open(path_);
    ASSERT_TRUE(store);
    EXPECT_TRUE(store->load()->uncertain.contains("m1"));
    ASSERT_TRUE(store->note_boot());
  }
  auto store = Store::open(path_);
  ASSERT_TRUE(store);
  EXPECT_TRUE(store->load()->uncertain.empty());
}

// The commit is not `durable`, and yet a SIGKILL right after it loses nothing.
TEST_F(StoreTest, a_commit_survives_a_kill) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto ledger = Ledger::open(path_);
    (void)(*ledger)->decide([&](const State&, const Now&) { return planned(); });
    const auto verdict =
        (*ledger)->decide([&](const State& s, const Now& now) { return commit(s, now, commit_request()); });
    const char answer = verdict && verdict->reply.granted() ? 'y' : 'n';
    (void)!::write(ready[1], &answer, 1);
    for (;;) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  auto ledger = Ledger::open(path_);
  ASSERT_TRUE(ledger) << ledger.error().message();
  const auto again =
      (*ledger)->decide([&](const State& s, const Now& now) { return commit(s, now, commit_request()); });
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->reply.granted());
  EXPECT_EQ(again->reply.epoch(), 5u);
  EXPECT_TRUE(again->changes.empty());
  wire::ResolveRequest request;
  request.set_migration("m1");
  const auto resolved = (*ledger)->decide([&](const State& s, const Now&) { return resolve(s, request, "late"); });
  ASSERT_TRUE(resolved);
  EXPECT_EQ(resolved->reply.state(), wire::COMMITTED);
}

}  // namespace
}  // namespace godwit::controller
