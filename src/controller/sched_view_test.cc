// What rescheduling believes of the grid, what it is asked for and when, and what of it is kept.
#include "controller/sched_view.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/temporary_folder.h"
#include "controller/leave.h"
#include "controller/store.h"
#include "controller/watch.h"

namespace godwit::controller {
namespace {

constexpr Now kNow{1'000'000, 1'000'000};

void add_node(State& s, const std::string& name, double cpus = 1, double speed = 1) {
  wire::NodeInfo node;
  node.set_name(name);
  node.set_arch("x86_64");
  node.set_state(wire::READY);
  node.mutable_load()->set_memory_bytes(8ull << 30);
  node.mutable_load()->set_memory_free_bytes(4ull << 30);
  node.mutable_load()->mutable_activity()->set_cpus(cpus);
  node.mutable_load()->mutable_activity()->set_speed(speed);
  s.nodes[name] = node;
  s.seen[name] = kNow.monotonic_ms;
}

wire::Unit& add_unit(State& s, const std::string& id, const std::string& node, double rate = 1) {
  wire::Unit unit;
  unit.set_id(id);
  unit.mutable_spec()->set_name(id);
  unit.mutable_spec()->add_argv("/usr/bin/blastn");
  unit.set_node(node);
  unit.set_epoch(1);
  unit.mutable_load()->set_epoch(1);
  unit.set_state(wire::RUNNING);
  unit.mutable_load()->set_cpu_seconds(100);
  unit.mutable_load()->set_memory_bytes(100 << 20);
  unit.mutable_load()->mutable_activity()->set_cpu_rate(rate);
  auto& busy = *s.nodes[node].mutable_load()->mutable_activity();
  busy.set_cpu_busy(std::min(busy.cpus(), busy.cpu_busy() + rate));
  return s.units[id] = unit;
}

wire::PlanReply planned(const State& s, const std::string& event, const std::string& policy = "min-min-m") {
  wire::PlanRequest request;
  request.set_event(event);
  request.set_policy(policy);
  auto reply = plan(s, kNow, request);
  EXPECT_TRUE(reply) << reply.error().error.text;
  return reply ? *reply : wire::PlanReply{};
}

/// What the end of the unit changes.
Changes ended(const State& s, const wire::Unit& unit, int status = 0) {
  wire::UnitExitedRequest request;
  request.set_unit(unit.id()), request.set_node(unit.node()), request.set_epoch(unit.epoch());
  request.set_time_ms(77);
  request.mutable_exit()->set_status(status);
  return exited(s, request);
}

TEST(SchedView, two_busy_units_on_one_processor_are_parted_when_a_node_joins) {
  State s;
  add_node(s, "a");
  add_unit(s, "u1", "a", 0.5), add_unit(s, "u2", "a", 0.5);
  EXPECT_EQ(planned(s, "load").moves_size(), 0);
  add_node(s, "b");
  const auto plan = planned(s, "join:b");
  ASSERT_EQ(plan.moves_size(), 1);
  EXPECT_EQ(plan.moves(0).to(), "b");
  EXPECT_NE(plan.moves(0).reason().find("instead of"), std::string::npos);
  EXPECT_LT(plan.makespan_after_s(), plan.makespan_before_s());
}

TEST(SchedView, what_others_use_of_a_node_is_not_there_for_units) {
  State s;
  add_node(s, "a", 2), add_node(s, "b", 2);
  s.nodes["b"].mutable_load()->mutable_activity()->set_cpu_busy(2);  // somebody else's work
  add_unit(s, "u1", "a"), add_unit(s, "u2", "a");
  EXPECT_EQ(planned(s, "load").moves_size(), 0);
  const auto view = sched_view(s, kNow, {});
  EXPECT_DOUBLE_EQ(view.now.nodes[0].cpus, 2);
  EXPECT_DOUBLE_EQ(view.now.nodes[1].cpus, 0.2);
}

TEST(SchedView, progress_is_what_is_known_best) {
  State s;
  add_node(s, "a", 2, 2);
  auto& unit = add_unit(s, "u1", "a");
  EXPECT_EQ(planned(s, "load").units(0).source(), "unknown");
  s.meta["sched.work.blastn"] = "6.907755 3";  // e^6.907755 = 1000
  auto row = planned(s, "load").units(0);
  EXPECT_EQ(row.source(), "learned");
  EXPECT_NEAR(row.total(), 1000, 0.1);
  EXPECT_DOUBLE_EQ(row.finished(), 200) << "100 CPU seconds at speed 2";
  auto& activity = *unit.mutable_load()->mutable_activity();
  activity.set_done(1), activity.set_total(4), activity.set_source("reads");
  row = planned(s, "load").units(0);
  EXPECT_EQ(row.source(), "reads");
  EXPECT_DOUBLE_EQ(row.total(), 800);
  EXPECT_NEAR(row.etc(0), 300, 1e-9) << "600 left at speed 2";
}

TEST(SchedView, pins_avoided_nodes_and_architectures_hold) {
  State s;
  add_node(s, "a"), add_node(s, "b"), add_node(s, "c");
  s.nodes["c"].set_arch("aarch64");
  add_unit(s, "u1", "a").mutable_spec()->set_pinned(true);
  add_unit(s, "u2", "a").mutable_spec()->add_avoid("b");
  const auto plan = planned(s, "drain:a");
  EXPECT_EQ(plan.moves_size(), 0);
  ASSERT_EQ(plan.stuck_size(), 1);
  EXPECT_EQ(plan.stuck(0), "u2");
  s.units["u2"].mutable_spec()->set_grain(wire::PORTABLE);
  s.units["u2"].mutable_spec()->add_architectures("aarch64");
  s.units["u2"].mutable_spec()->add_architectures("x86_64");
  ASSERT_EQ(planned(s, "drain:a").moves_size(), 1);
  EXPECT_EQ(planned(s, "drain:a").moves(0).to(), "c");
}

TEST(SchedView, a_unit_that_was_just_moved_stays) {
  State s;
  add_node(s, "a"), add_node(s, "b");
  add_unit(s, "u1", "a"), add_unit(s, "u2", "a");
  for (const char* id : {"u1", "u2"}) {
    wire::Migration m;
    m.set_id(std::string("m") + id), m.set_unit(id), m.set_state(wire::COMMITTED), m.set_time_ms(kNow.wall_ms - 1000);
    s.migrations[m.id()] = m;
  }
  EXPECT_EQ(planned(s, "load").moves_size(), 0);
  s.migrations["mu1"].set_time_ms(kNow.wall_ms - 60'000);
  EXPECT_EQ(planned(s, "load").moves_size(), 1);
}

TEST(SchedView, links_and_costs_come_from_reports) {
  State s;
  add_node(s, "a"), add_node(s, "b");
  add_unit(s, "u1", "a");
  const auto before = sched_view(s, kNow, {});
  wire::Migration m;
  m.set_id("m"), m.set_unit("u0"), m.set_from("a"), m.set_to("b"), m.set_state(wire::COMMITTED);
  auto& r = *m.mutable_report();
  r.set_bytes_sent(100'000'000), r.set_memory_bytes(100'000'000), r.set_total_ms(4000);
  auto* phase = r.add_phases();
  phase->set_name("precopy"), phase->set_ms(2000);
  s.migrations["m"] = m;
  const auto view = sched_view(s, kNow, {});
  EXPECT_DOUBLE_EQ(view.now.links.speed(0, 1), 50e6);
  EXPECT_GT(view.now.cost.factor, 1) << "it took longer than 0.5 s and 2 s";
  EXPECT_DOUBLE_EQ(before.now.cost.factor, 1);
}

TEST(Events, are_words_and_nodes_that_exist) {
  State s;
  add_node(s, "a");
  EXPECT_EQ(parse_event(s, "")->kind, sched::EventKind::kLoad);
  EXPECT_EQ(parse_event(s, "spot:a")->node, "a");
  for (const char* bad : {"join", "join:", "join:b", "explode:a", "load:a:b"}) EXPECT_FALSE(parse_event(s, bad)) << bad;
}

TEST(Policy, is_off_until_chosen_and_is_kept) {
  const auto folder = TemporaryFolder::make("godwit-policy");
  ASSERT_TRUE(folder);
  const std::string path = folder->path() / "controller.db";
  {
    auto store = Store::open(path);
    ASSERT_TRUE(store);
    auto state = store->load();
    ASSERT_TRUE(state);
    EXPECT_FALSE(automation(*state).on);
    wire::PolicyRequest request;
    request.set_name("tabu-l");
    request.add_settings("max_moves=3");
    const auto change = set_policy(*state, request);
    ASSERT_TRUE(change);
    EXPECT_EQ(change->reply.name(), "tabu-l");
    ASSERT_TRUE(store->write(change->changes));
    state->apply(change->changes);
    EXPECT_TRUE(automation(*state).on);
  }
  auto store = Store::open(path);
  ASSERT_TRUE(store);
  auto state = store->load();
  ASSERT_TRUE(state);
  auto a = automation(*state);
  EXPECT_TRUE(a.on);
  EXPECT_EQ(sched::full_name(a.choice), "tabu-l");
  EXPECT_EQ(a.choice.settings.max_moves, 3);
  for (const auto& [name, setting] :
       std::vector<std::pair<std::string, std::string>>{{"fast", ""}, {"", "max_moves=-1"}}) {
    wire::PolicyRequest bad;
    bad.set_name(name);
    if (!setting.empty()) bad.add_settings(setting);
    EXPECT_FALSE(set_policy(*state, bad));
  }
  wire::PolicyRequest off;
  off.set_name("off");
  state->apply(set_policy(*state, off)->changes);
  EXPECT_FALSE(automation(*state).on);
  state->meta["sched.policy"] = R"({"on":true,"name":"of a newer Godwit","settings":{"max_moves":"many"}})";
  EXPECT_FALSE(automation(*state).on);
}

TEST(Learning, keeps_what_a_program_needed) {
  State s;
  add_node(s, "a", 1, 2);
  auto& unit = add_unit(s, "u1", "a");
  unit.mutable_spec()->add_argv("-db"), unit.mutable_spec()->add_argv("nt"),
      unit.mutable_spec()->add_argv("--threads=4");
  EXPECT_EQ(program_key(unit.spec()), "blastn -db --threads");
  unit.mutable_load()->set_cpu_seconds(50);
  s.apply(ended(s, unit));
  EXPECT_EQ(s.meta.at("sched.work.blastn -db --threads"), "4.605170 1 77");  // log 100
  EXPECT_EQ(s.units["u1"].state(), wire::EXITED) << "in the same transaction";
  unit.set_state(wire::RUNNING), unit.mutable_load()->set_cpu_seconds(200);
  s.apply(ended(s, unit));
  EXPECT_EQ(s.meta.at("sched.work.blastn -db --threads"), "5.298317 2 77");  // log 200
  unit.set_state(wire::RUNNING);
  EXPECT_TRUE(ended(s, unit, 1).meta.empty()) << "one that failed says nothing";
}

TEST(Learning, keeps_so_many_programs_at_most) {
  State s;
  add_node(s, "a");
  for (size_t i = 0; i < kMostPrograms; ++i)
    s.meta["sched.work.program-" + std::to_string(i)] = "1.0 1 " + std::to_string(1000 + (i * 7) % kMostPrograms);
  s.meta["sched.work.program-5"] = "1.0 1";  // of an older version
  auto& unit = add_unit(s, "u1", "a");
  const Changes changes = ended(s, unit);
  EXPECT_EQ(changes.removed_meta, (std::vector<std::string>{"sched.work.program-5"}));
  s.apply(changes);
  EXPECT_TRUE(s.meta.contains("sched.work.blastn"));
  unit.set_state(wire::RUNNING);
  EXPECT_TRUE(ended(s, unit).removed_meta.empty()) << "it has its row already";
}

TEST(Learning, a_programs_key_is_short_and_its_own) {
  wire::UnitSpec one, other;
  for (auto* spec : {&one, &other}) spec->add_argv("/bin/p" + std::string(5000, 'x'));
  other.add_argv("--verbose");
  EXPECT_LE(program_key(one).size(), 200u);
  EXPECT_LE(program_key(other).size(), 200u);
  EXPECT_NE(program_key(one), program_key(other));
}

TEST(Work, goes_on_counting_when_a_unit_moves) {
  State s;
  add_node(s, "a", 1, 2), add_node(s, "b");
  auto& unit = add_unit(s, "u1", "a");
  unit.set_epoch(1), unit.mutable_load()->set_epoch(1);
  EXPECT_DOUBLE_EQ(work_done(s, unit), 200);
  Changes moved;
  keep_work(s, unit, moved);
  s.apply(moved);
  unit.set_epoch(2), unit.set_node("b");
  EXPECT_DOUBLE_EQ(work_done(s, unit), 200) << "nothing was heard of the new node yet";
  unit.mutable_load()->set_epoch(2), unit.mutable_load()->set_cpu_seconds(5);
  EXPECT_DOUBLE_EQ(work_done(s, unit), 205);
  Changes removed;
  removed.removed_units.push_back("u1");
  s.apply(removed);
  EXPECT_TRUE(s.meta.empty());
}

TEST(Work, and_what_was_said_go_on_from_the_checkpoint_that_is_restored) {
  State s;
  add_node(s, "a", 1, 2), add_node(s, "b");
  auto& unit = add_unit(s, "u1", "a");
  auto& activity = *unit.mutable_load()->mutable_activity();
  activity.set_source("said"), activity.set_done(40), activity.set_total(100);
  wire::Checkpoint checkpoint;
  checkpoint.set_unit("u1"), checkpoint.set_number(1);
  Changes kept;
  keep_work_at(s, unit, 1, kept);
  kept.checkpoints.push_back(checkpoint);
  s.apply(kept);
  // It goes on, and ends by an accident.
  unit.mutable_load()->set_cpu_seconds(180), activity.set_done(90);
  unit.set_state(wire::EXITED);
  EXPECT_DOUBLE_EQ(work_done(s, unit), 360);

  const auto plan = plan_restore(s, kNow, unit, 1, {"b", false, ""}, "u9");
  ASSERT_TRUE(plan) << plan.error().error.text;
  s.apply(plan->changes);
  s.units["u1"].set_state(wire::RUNNING);
  EXPECT_DOUBLE_EQ(work_done(s, s.units["u1"]), 200) << "what was done after the checkpoint is lost";
  auto row = planned(s, "load").units(0);
  EXPECT_EQ(row.source(), "said");
  EXPECT_DOUBLE_EQ(row.finished() / row.total(), 0.4) << "the new node hasn't told yet";
  auto& load = *s.units["u1"].mutable_load();
  load.set_epoch(2), load.set_cpu_seconds(10);
  load.mutable_activity()->set_done(50);
  EXPECT_DOUBLE_EQ(work_done(s, s.units["u1"]), 210) << "at speed 1";
  row = planned(s, "load").units(0);
  EXPECT_DOUBLE_EQ(row.total(), 420);

  // A branch begins there too, and of an image that came as a file nothing is known.
  const auto branch = plan_restore(s, kNow, s.units["u1"], 1, {"b", true, ""}, "u2");
  ASSERT_TRUE(branch);
  s.apply(branch->changes);
  EXPECT_DOUBLE_EQ(work_done(s, s.units["u2"]), 200);
  const auto other = plan_restore(s, kNow, s.units["u1"], 7, {"b", true, ""}, "u3");
  ASSERT_TRUE(other);
  s.apply(other->changes);
  EXPECT_DOUBLE_EQ(work_done(s, s.units["u3"]), 0);

  Changes forgotten;
  forgotten.removed_checkpoints.emplace_back("u1", 1);
  s.apply(forgotten);
  EXPECT_FALSE(s.meta.contains(work_at_key("u1", 1)));
}

TEST(Work, is_what_it_was_when_a_restore_is_refused) {
  State s;
  add_node(s, "a");
  auto& unit = add_unit(s, "u1", "a");
  Changes changes;
  keep_work(s, unit, changes);  // it was moved here with 100 behind it
  s.apply(changes);
  unit.set_state(wire::EXITED);
  EXPECT_DOUBLE_EQ(work_done(s, unit), 200);
  const auto plan = plan_restore(s, kNow, unit, 1, {"a", false, ""}, "u9");
  ASSERT_TRUE(plan);
  s.apply(plan->changes);
  Changes back;
  back.units.push_back(plan->old);
  put_back_work("u1", plan->old_work, back);
  s.apply(back);
  EXPECT_DOUBLE_EQ(work_done(s, s.units["u1"]), 200);
}

TEST(SchedView, a_unit_that_has_just_moved_is_as_far_and_as_busy_as_it_was) {
  State s;
  add_node(s, "a", 2), add_node(s, "b", 2);
  auto& unit = add_unit(s, "u1", "a", 1.5);
  auto& activity = *unit.mutable_load()->mutable_activity();
  activity.set_source("reads"), activity.set_done(25), activity.set_total(100);
  Changes moved;
  keep_work(s, unit, moved);
  s.apply(moved);
  unit.set_epoch(2), unit.set_node("b");
  activity.Clear();
  EXPECT_DOUBLE_EQ(sched_view(s, kNow, {}).now.units[0].width, 1.5) << "nothing was heard of the new node yet";
  unit.mutable_load()->set_epoch(2), unit.mutable_load()->set_cpu_seconds(0.1);
  EXPECT_DOUBLE_EQ(sched_view(s, kNow, {}).now.units[0].width, 1.5) << "the first look gives no rate";
  EXPECT_EQ(planned(s, "load").units(0).source(), "reads") << "and its input may not be open any more";
  unit.mutable_load()->set_cpu_seconds(5);
  EXPECT_DOUBLE_EQ(sched_view(s, kNow, {}).now.units[0].width, 0.05) << "it does nothing";
}

TEST(SchedView, on_a_part_of_a_processor_a_busy_unit_would_use_more_of_a_larger_one) {
  State s;
  add_node(s, "a", 0.1), add_node(s, "b", 0.4);
  add_unit(s, "u1", "a", 0.04), add_unit(s, "u2", "a", 0.04);
  EXPECT_LT(sched_view(s, kNow, {}).now.units[0].width, 1) << "a fifth of the node is idle";
  s.nodes["a"].mutable_load()->mutable_activity()->set_cpu_pressure(80);
  EXPECT_DOUBLE_EQ(sched_view(s, kNow, {}).now.units[0].width, 1) << "and yet they wait";
  EXPECT_EQ(planned(s, "join:b").moves_size(), 2) << "b is four times as fast";
}

TEST(Plan, of_progress_alone_says_what_is_left_and_decides_nothing) {
  State s;
  add_node(s, "a", 1, 2), add_node(s, "b");
  auto& activity = *add_unit(s, "u1", "a").mutable_load()->mutable_activity();
  activity.set_source("said"), activity.set_done(25), activity.set_total(100);
  wire::PlanRequest request;
  request.set_event("leave:a"), request.set_only_progress(true);
  const auto reply = plan(s, kNow, request);
  ASSERT_TRUE(reply);
  ASSERT_EQ(reply->units_size(), 1);
  EXPECT_DOUBLE_EQ(reply->units(0).left(), 300) << "600 at speed 2";
  EXPECT_EQ(reply->units(0).etc_size(), 0);
  EXPECT_EQ(reply->moves_size() + reply->nodes_size(), 0);
}

TEST(SchedView, a_dirty_rate_is_that_of_its_last_move_or_of_its_programs) {
  State s;
  add_node(s, "a"), add_node(s, "b");
  add_unit(s, "u1", "a"), add_unit(s, "u2", "a"), add_unit(s, "u3", "a").mutable_spec()->set_argv(0, "/bin/other");
  const auto moved = [&](const std::string& id, int64_t time_ms, uint64_t raw) {
    wire::Migration m;
    m.set_id(id), m.set_unit("u1"), m.set_state(wire::COMMITTED), m.set_time_ms(time_ms);
    auto& r = *m.mutable_report();
    r.set_memory_bytes(100), r.set_bytes_raw(raw), r.set_rounds(3);
    auto* phase = r.add_phases();
    phase->set_name("precopy"), phase->set_ms(2000);
    s.migrations[id] = m;
  };
  moved("m1", 100, 500), moved("m2", 200, 300), moved("m3", 300, 100);  // the last one says nothing
  const auto units = sched_view(s, kNow, {}).now.units;
  EXPECT_DOUBLE_EQ(units[0].dirty_rate, 100);
  EXPECT_DOUBLE_EQ(units[1].dirty_rate, 100) << "it is of the same program";
  EXPECT_DOUBLE_EQ(units[2].dirty_rate, 0);
}

wire::LeaveRequest leave_request(const std::string& node, double seconds) {
  wire::LeaveRequest request;
  request.set_node(node), request.set_seconds(seconds);
  return request;
}

TEST(Leave, takes_a_nodes_units_away_until_none_is_left) {
  State s;
  add_node(s, "a"), add_node(s, "b"), add_node(s, "c");
  add_unit(s, "u1", "a"), add_unit(s, "u2", "a"), add_unit(s, "fixed", "a").mutable_spec()->set_pinned(true);
  Watch watch;
  EXPECT_FALSE(next_event(s, kNow, watch));
  EXPECT_FALSE(plan_leave(s, kNow, leave_request("z", 1)));
  EXPECT_FALSE(plan_leave(s, kNow, leave_request("a", -1)));
  const auto plan = plan_leave(s, kNow, leave_request("a", 60));
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->units.size(), 3u);
  s.apply(plan->changes);
  EXPECT_EQ(s.nodes["a"].leaves_ms(), kNow.wall_ms + 60'000);
  EXPECT_EQ(node_state(s, kNow, s.nodes["a"]), wire::CORDONED);
  const auto forced = planned(s, "load");
  EXPECT_EQ(forced.moves_size(), 2) << "whatever the event, they must go";
  for (const auto& m : forced.moves()) EXPECT_EQ(m.why(), "forced");

  Now now = kNow;
  EXPECT_FALSE(next_event(s, now, watch)) << "others may leave with it";
  now.monotonic_ms += 500;
  EXPECT_EQ(next_event(s, now, watch)->kind, sched::EventKind::kLeave);
  now.monotonic_ms += 1000;
  EXPECT_FALSE(next_event(s, now, watch));
  now.monotonic_ms += kEmptyMs;
  EXPECT_EQ(next_event(s, now, watch)->node, "a") << "some may have been refused";
  Watch anew;
  EXPECT_TRUE(next_event(s, now, anew)) << "of a controller that was started meanwhile";
  s.units["u1"].set_node("b"), s.units["u2"].set_node("c");
  now.monotonic_ms += kEmptyMs;
  for (auto& [name, at] : s.seen) at = now.monotonic_ms;
  EXPECT_FALSE(has_to_lose(s, "a")) << "the pinned one stays";
  EXPECT_FALSE(next_event(s, now, watch));
  wire::RegisterRequest again;
  *again.mutable_node() = s.nodes["a"];
  again.mutable_node()->clear_leaves_ms();
  EXPECT_NE(registered(s, now, again).changes.nodes[0].leaves_ms(), 0)
      << "a daemon that is started anew changes nothing";
  stay(s.nodes["a"]);
  EXPECT_EQ(node_state(s, now, s.nodes["a"]), wire::READY);
}

TEST(Leave, a_notice_is_heeded_once) {
  State s;
  add_node(s, "a"), add_node(s, "b");
  add_unit(s, "u1", "a");
  wire::NodeLoad load;
  EXPECT_TRUE(heed_notice(s, kNow, "a", load).empty());
  load.mutable_notice()->set_id(7), load.mutable_notice()->set_seconds(120);
  s.apply(heed_notice(s, kNow, "a", load));
  EXPECT_EQ(s.nodes["a"].leaves_ms(), kNow.wall_ms + 120'000);
  Watch watch;
  EXPECT_EQ(next_event(s, kNow, watch)->kind, sched::EventKind::kSpot);
  EXPECT_TRUE(heed_notice(s, kNow, "a", load).empty());
  stay(s.nodes["a"]);
  EXPECT_TRUE(heed_notice(s, kNow, "a", load).empty()) << "a user has said that it stays";
  s.apply(plan_leave(s, kNow, leave_request("a", 10))->changes);
  load.mutable_notice()->set_id(8);
  s.apply(heed_notice(s, kNow, "a", load));
  EXPECT_EQ(s.nodes["a"].leaves_ms(), kNow.wall_ms + 10'000) << "what is sooner holds";
}

TEST(Leave, nodes_that_go_together_are_left_together) {
  State s;
  for (const char* name : {"a", "b", "c"}) add_node(s, name);
  add_unit(s, "u1", "b"), add_unit(s, "u2", "c");
  Watch watch;
  EXPECT_FALSE(next_event(s, kNow, watch));
  s.apply(plan_leave(s, kNow, leave_request("b", 60))->changes);
  EXPECT_FALSE(next_event(s, kNow, watch));
  s.apply(plan_leave(s, kNow, leave_request("c", 60))->changes);
  Now now = kNow;
  now.monotonic_ms += 500;
  ASSERT_TRUE(next_event(s, now, watch));
  const auto reply = planned(s, "leave:b");
  ASSERT_EQ(reply.moves_size(), 2);
  for (const auto& move : reply.moves()) EXPECT_EQ(move.to(), "a");
}

TEST(Drain, places_by_the_policy) {
  State s;
  add_node(s, "a"), add_node(s, "slow", 1, 0.1), add_node(s, "fast", 2, 4);
  add_unit(s, "u1", "a"), add_unit(s, "u2", "a");
  add_unit(s, "fixed", "a").mutable_spec()->set_pinned(true);
  const auto to = emptying(emptying_question(s, kNow, "a"));
  EXPECT_EQ(to, (std::map<std::string, std::string>{{"u1", "fast"}, {"u2", "fast"}}));
}

TEST(Watch, sees_nodes_come_go_and_run_short_of_memory) {
  State s;
  Watch watch;
  Now now = kNow;
  const auto next = [&] {
    now.monotonic_ms += 1000;
    for (auto& [name, at] : s.seen)
      if (name != "silent") at = now.monotonic_ms;
    return next_event(s, now, watch);
  };
  add_node(s, "a");
  EXPECT_FALSE(next()) << "the first look only remembers";
  EXPECT_FALSE(next());
  add_node(s, "b");
  auto event = next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, sched::EventKind::kJoin);
  EXPECT_EQ(event->node, "b");
  EXPECT_FALSE(next());
  s.nodes["b"].set_state(wire::CORDONED);
  EXPECT_FALSE(next()) << "who drains it moves its units";
  s.nodes["b"].set_state(wire::READY);
  EXPECT_EQ(next()->kind, sched::EventKind::kJoin);
  s.nodes["a"].mutable_load()->mutable_activity()->set_memory_pressure(30);
  EXPECT_EQ(next()->kind, sched::EventKind::kPressure);
  s.nodes["a"].mutable_load()->mutable_activity()->set_memory_pressure(15);
  EXPECT_FALSE(next()) << "told once";
  s.nodes["a"].mutable_load()->mutable_activity()->set_memory_pressure(5);
  EXPECT_FALSE(next());
  s.nodes["a"].mutable_load()->set_memory_free_bytes(1);
  EXPECT_EQ(next()->kind, sched::EventKind::kPressure);
  now.monotonic_ms += kAgainMs;
  EXPECT_EQ(next()->kind, sched::EventKind::kPressure) << "it lasts";
  s.nodes["a"].mutable_load()->set_memory_free_bytes(1ull << 30);
  now.monotonic_ms += 30'000;
  EXPECT_EQ(next()->kind, sched::EventKind::kLoad);
  s.meta["sched.policy"] = R"({"on":true,"name":"min-min-m","settings":{"look_s":"0"}})";
  now.monotonic_ms += 90'000;
  EXPECT_FALSE(next()) << "look_s=0";
  s.seen["b"] = 0;
  now.monotonic_ms += 1;
  EXPECT_EQ(next_event(s, now, watch)->kind, sched::EventKind::kVanish);
}

TEST(Watch, tells_of_pressure_while_it_lasts_and_of_each_node) {
  State s;
  Watch watch;
  Now now = kNow;
  const auto next = [&] {
    for (auto& [name, at] : s.seen) at = now.monotonic_ms;
    return next_event(s, now, watch);
  };
  for (const char* name : {"a", "b"}) {
    add_node(s, name);
    s.nodes[name].mutable_load()->mutable_activity()->set_memory_pressure(90);
  }
  EXPECT_FALSE(next()) << "the first look only remembers";
  EXPECT_EQ(next()->node, "a");
  EXPECT_EQ(next()->node, "b");
  EXPECT_FALSE(next());
  now.monotonic_ms += kAgainMs;
  const auto again = next();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->kind, sched::EventKind::kPressure);
}

TEST(Plan, of_a_node_that_vanishes_says_why_its_units_move) {
  State s;
  add_node(s, "a"), add_node(s, "b"), add_unit(s, "u1", "a");
  const auto reply = planned(s, "vanish:a");
  ASSERT_EQ(reply.moves_size(), 1);
  EXPECT_EQ(reply.moves(0).why(), "placed");
  EXPECT_NE(reply.moves(0).reason().find("it has no node; on b"), std::string::npos) << reply.moves(0).reason();
}

TEST(Policy, that_would_take_the_controller_too_long_is_refused) {
  wire::PolicyRequest request;
  request.set_name("ga");
  request.add_settings("population=10000");
  request.add_settings("generations=100000");
  EXPECT_FALSE(set_policy(State(), request));
  wire::PlanRequest plan_request;
  plan_request.set_policy("exact");
  plan_request.add_settings("expansions=1000000000");
  EXPECT_FALSE(plan(State(), kNow, plan_request));
}

}  // namespace
}  // namespace godwit::controller
