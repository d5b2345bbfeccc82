// Rescheduling on a real grid: what nodes report of themselves and their units, plans, and units that are moved without a command.
// Each node is a fourth of a processor, so that two busy units on one are worth parting.
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cpu_group.h"
#include "grid.h"

namespace godwit::test {
namespace {

using nlohmann::json;
using std::chrono::seconds;

class RescheduleTest : public OnGrid<2> {
 protected:
  void SetUp() override {
    OnGrid<2>::SetUp();
    if (IsSkipped()) return;
    for (const char* node : {"node-1", "node-2"}) {
      auto group = std::make_unique<CpuGroup>(node, 0.25);
      if (!group->made()) GTEST_SKIP() << "needs CPU control groups";
      ASSERT_TRUE(group->add(grid().member(node).daemon_pid));
      groups_.push_back(std::move(group));
    }
  }
  void TearDown() override {
    for (const auto& unit : units_) (void)grid().godwit({"kill", unit});
    (void)grid().godwit({"policy", "set", "off"});
    (void)::unlink(notice().c_str());
    for (const char* node : {"node-1", "node-2"}) (void)grid().godwit({"uncordon", node});
  }
  void run(const std::string& name, std::vector<std::string> options, const std::string& program) {
    std::vector<std::string> words = {"run", "--name", name, "--node", "node-1"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", "/usr/bin/python3", "-c", program});
    const auto ran = grid().godwit(words);
    ASSERT_EQ(ran.status, 0) << ran.err;
    units_.push_back(name);
  }
  static json of(std::vector<std::string> words) {
    words.emplace_back("--json");
    return json::parse(grid().godwit(words).out, nullptr, false);
  }
  static std::string notice() { return grid().state() + "/nodes/node-1/notice"; }
  /// How far rescheduling takes it to be, by its own words.
  static double said(const std::string& unit) {
    const auto is = row(of({"plan"})["units"], unit);
    return is.value("source", "") == "said" ? is["finished"].get<double>() / is["total"].get<double>() : -1;
  }
  static std::string node_of(const std::string& unit) { return of({"show", unit}).value("node", ""); }
  static json row(const json& array, const std::string& name) {
    for (const auto& r : array)
      if (r.value("name", "") == name) return r;
    return {};
  }

  static constexpr const char* kBusy = "while True: pass";
  std::vector<std::unique_ptr<CpuGroup>> groups_;
  std::vector<std::string> units_;
};

TEST_F(RescheduleTest, nodes_say_how_busy_they_are_and_how_far_their_units) {
  const std::string input = "/tmp/godwit-input-" + std::to_string(::getpid());
  ASSERT_TRUE(io::replace_file(input, std::string(1 << 20, 'x')));
  run("reader", {"--progress", "reads:" + input, "--with", input},
      "f=open('" + input + "','rb',buffering=0)\nf.read(262144)\nwhile True: pass");
  EXPECT_TRUE(eventually([] {
    const auto node = row(of({"nodes", "--load"}), "node-1");
    return node.value("cpus", 0.0) == 0.25 && node.value("cpu_busy", 0.0) > 0.1;
  })) << of({"nodes", "--load"}).dump(2);
  json unit;
  EXPECT_TRUE(eventually([&] {
    unit = row(of({"plan"})["units"], "reader");
    return unit.value("source", "") == "reads";
  })) << unit.dump(2);
  EXPECT_NEAR(unit["finished"].get<double>() / unit["total"].get<double>(), 0.25, 0.001);
  // Its processes' times begin anew when it moves; what it has done doesn't.
  const double total = unit["total"].get<double>();
  ASSERT_EQ(grid().godwit({"move", "reader", "--to", "node-2"}).status, 0);
  EXPECT_TRUE(eventually([&] {
    unit = row(of({"plan"})["units"], "reader");
    return unit.value("node", "") == "node-2" && unit.value("source", "") == "reads";
  })) << unit.dump(2);
  EXPECT_GE(unit["total"].get<double>(), total * 0.99)
      << "it is an estimate from CPU time and progress, read one after the other";
  const auto top = grid().godwit({"top", "--once"});
  EXPECT_EQ(top.status, 0) << top.err;
  EXPECT_NE(top.out.find("25 %"), std::string::npos) << top.out;
  (void)::unlink(input.c_str());
}

TEST_F(RescheduleTest, a_plan_says_what_it_would_do_and_does_nothing) {
  run("one", {}, kBusy);
  run("two", {}, kBusy);
  json plan;
  EXPECT_TRUE(eventually(
      [&] {
        plan = of({"plan", "--event", "join:node-2", "--policy", "min-min-s"});
        return plan["moves"].size() == 1;
      },
      seconds(40)))
      << plan.dump(2);
  EXPECT_LT(plan["makespan_s"]["after"].get<double>(), plan["makespan_s"]["before"].get<double>());
  EXPECT_EQ(node_of("one"), "node-1");
  EXPECT_EQ(node_of("two"), "node-1");
  const auto why = grid().godwit({"plan", "--event", "drain:node-1", "--why"});
  EXPECT_NE(why.out.find("it has to leave node-1"), std::string::npos) << why.out;
}

TEST_F(RescheduleTest, when_a_node_comes_a_unit_moves_there_by_itself_and_a_pinned_one_stays) {
  EXPECT_EQ(grid().godwit({"drain", "node-2"}).status, 0);
  run("free", {}, kBusy);
  run("pinned", {"--pin"}, kBusy);
  ASSERT_TRUE(eventually([] { return row(of({"nodes", "--load"}), "node-1").value("cpu_busy", 0.0) > 0.2; }));
  const auto set = grid().godwit({"policy", "set", "min-min-m", "min_gain_s=0"});
  ASSERT_EQ(set.status, 0) << set.err;
  std::this_thread::sleep_for(seconds(2));
  EXPECT_EQ(node_of("free"), "node-1") << "node-2 takes nothing";
  EXPECT_EQ(grid().godwit({"uncordon", "node-2"}).status, 0);
  EXPECT_TRUE(eventually([] { return node_of("free") == "node-2"; }, seconds(60)))
      << grid().godwit({"plan", "--why"}).out;
  EXPECT_EQ(node_of("pinned"), "node-1");
  // It stays there: one move, not one each look.
  std::this_thread::sleep_for(seconds(3));
  EXPECT_EQ(of({"show", "free"})["migrations"].size(), 1u);
}

TEST_F(RescheduleTest, what_a_program_says_of_itself_moves_with_it) {
  const auto ran = grid().godwit({"run", "--name", "talker", "--node", "node-1", "--progress", "file:/tmp/how-far",
                                  "--", GODWIT_SAYS, "30", "100", "60"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  units_.push_back("talker");
  EXPECT_TRUE(eventually([] { return std::abs(said("talker") - 0.3) < 0.01; })) << of({"plan"}).dump(2);
  ASSERT_EQ(grid().godwit({"move", "talker", "--to", "node-2"}).status, 0);
  EXPECT_NEAR(said("talker"), 0.3, 0.01) << "at once";
  std::this_thread::sleep_for(seconds(3));
  EXPECT_NEAR(said("talker"), 0.3, 0.01) << "and when the new node has looked";
  ASSERT_EQ(grid().godwit({"signal", "talker", "USR1"}).status, 0);
  EXPECT_TRUE(eventually([] { return std::abs(said("talker") - 0.6) < 0.01; })) << of({"plan"}).dump(2);
}

TEST_F(RescheduleTest, work_before_a_checkpoint_counts_after_a_restore) {
  run("worker", {}, kBusy);
  const auto finished = [] { return row(of({"plan"})["units"], "worker").value("finished", 0.0); };
  ASSERT_TRUE(eventually([&] { return finished() > 1; }, seconds(60)));
  const double before = finished();
  ASSERT_EQ(grid().godwit({"checkpoint", "worker"}).status, 0);
  ASSERT_EQ(grid().godwit({"kill", "worker"}).status, 0);
  const auto restored = grid().godwit({"restore", "worker"});
  ASSERT_EQ(restored.status, 0) << restored.err;
  EXPECT_GE(finished(), before - 0.01);
  std::this_thread::sleep_for(seconds(3));
  EXPECT_GE(finished(), before - 0.01);
}

TEST_F(RescheduleTest, a_node_that_leaves_loses_its_units_though_the_policy_is_off) {
  run("one", {}, kBusy);
  run("two", {}, kBusy);
  run("fixed", {"--pin"}, kBusy);
  EXPECT_EQ(grid().godwit({"node", "leave", "node-1", "--in", "soon"}).status, 2);
  EXPECT_EQ(grid().godwit({"node", "leave", "node-9", "--in", "1m"}).status, 2);
  const auto left = grid().godwit({"node", "leave", "node-1", "--in", "1m"});
  ASSERT_EQ(left.status, 0) << left.err;
  EXPECT_NE(left.out.find("fixed is pinned"), std::string::npos) << left.out;
  EXPECT_EQ(row(of({"nodes"}), "node-1").value("state", ""), "leaving");
  EXPECT_TRUE(eventually([] { return node_of("one") == "node-2" && node_of("two") == "node-2"; }, seconds(60)));
  EXPECT_EQ(node_of("fixed"), "node-1");
  EXPECT_EQ(grid().godwit({"run", "--node", "node-1", "--", "/bin/true"}).status, 3) << "it takes nothing";
  EXPECT_EQ(grid().godwit({"uncordon", "node-1"}).status, 0);
  EXPECT_EQ(row(of({"nodes"}), "node-1").value("state", ""), "ready");
}

TEST_F(RescheduleTest, a_machine_says_itself_that_it_goes) {
  run("one", {}, kBusy);
  ASSERT_TRUE(io::replace_file(notice(), "2m\n"));
  EXPECT_TRUE(eventually([] { return node_of("one") == "node-2"; }, seconds(60)));
  const auto node = row(of({"nodes"}), "node-1");
  EXPECT_EQ(node.value("state", ""), "leaving");
  EXPECT_GT(node.value("leaves_ms", int64_t{0}), 0);
  // The notice is still there, and a user knows better.
  EXPECT_EQ(grid().godwit({"uncordon", "node-1"}).status, 0);
  std::this_thread::sleep_for(seconds(3));
  EXPECT_EQ(row(of({"nodes"}), "node-1").value("state", ""), "ready");
}

TEST_F(RescheduleTest, a_policy_is_kept_over_a_restart_and_wrong_ones_are_refused) {
  EXPECT_EQ(grid().godwit({"policy", "set", "tabu-l", "max_moves=3"}).status, 0);
  EXPECT_EQ(grid().godwit({"policy", "set", "fastest"}).status, 2);
  EXPECT_EQ(grid().godwit({"policy", "set", "ga", "population=none"}).status, 2);
  EXPECT_EQ(grid().godwit({"plan", "--event", "join:nowhere"}).status, 2);
  grid().kill("controller");
  grid().start("controller");
  const auto policy = of({"policy"});
  EXPECT_EQ(policy.value("policy", ""), "tabu-l");
  EXPECT_EQ(policy["settings"].value("max_moves", ""), "3");
}

}  // namespace
}  // namespace godwit::test
