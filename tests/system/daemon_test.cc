// The daemons as a whole, with real keepers and units: they are killed, the units don't notice, nothing is lost.
#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <set>
#include <thread>

#include "grid.h"
#include "memory_group.h"
#include "proc_table.h"

namespace godwit::test {
namespace {

using nlohmann::json;

class DaemonTest : public OnGrid<3> {
 protected:
  // A unit that prints `lines` numbers, one each 10 ms.
  static std::string run(const std::string& name, const std::string& node, int lines) {
    const std::string program = "import sys,time\nfor i in range(" + std::to_string(lines) +
                                "):\n  print(i,flush=True)\n  time.sleep(0.01)\nsys.exit(7)";
    const auto ran = grid().godwit({"run", "--name", name, "--node", node, "--", "/usr/bin/python3", "-c", program});
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.out.substr(0, ran.out.find('\n'));
  }
  static json show(const std::string& unit) {
    const auto ran = grid().godwit({"ps", "--all", "--json"});
    for (const auto& u : json::parse(ran.out, nullptr, false)) {
      if (u.value("name", "") == unit) return u;
    }
    return {};
  }
  static std::string logs(const std::string& unit) { return grid().godwit({"logs", unit}).out; }
  static std::string numbers(int count) {
    std::string out;
    for (int i = 0; i < count; i++) out += std::to_string(i) + "\n";
    return out;
  }
  // Waits for its end and proves that it ran exactly once.
  static void expect_whole(const std::string& unit, int lines) {
    const auto waited = grid().godwit({"wait", unit});
    EXPECT_EQ(waited.status, 1) << waited.err;
    // Not EXPECT_EQ: its difference of hundreds of lines says less.
    const auto out = logs(unit);
    EXPECT_TRUE(out == numbers(lines)) << unit << ": " << out.size() << " bytes, wanted " << numbers(lines).size()
                                       << ": " << out.substr(0, 40) << " … "
                                       << out.substr(out.size() - std::min<size_t>(out.size(), 40));
  }
};

TEST_F(DaemonTest, a_unit_outlives_its_nodes_daemon_and_its_end_is_told) {
  run("outlives", "node-1", 100);
  grid().kill("node-1");
  grid().start("node-1");
  expect_whole("outlives", 100);
}

TEST_F(DaemonTest, an_end_while_the_daemon_is_away_is_told_when_it_is_back) {
  run("away", "node-2", 20);
  grid().kill("node-2");
  const auto unit = grid().state() + "/nodes/node-2/units";
  ASSERT_TRUE(eventually([&] {
    const auto ids = sys::list_dir(unit);
    for (const auto& id : ids.value_or(std::vector<std::string>{})) {
      if (io::read_file(unit + "/" + id + "/out.log").value_or("") == numbers(20)) return true;
    }
    return false;
  }));
  grid().start("node-2");
  expect_whole("away", 20);
}

TEST_F(DaemonTest, what_keeps_a_program_from_starting_is_named) {
  const auto start = [](std::vector<std::string> words) {
    words.insert(words.begin(), {"run", "--node", "node-1"});
    const auto ran = grid().godwit(words);
    EXPECT_NE(ran.status, 0);
    return ran.err;
  };
  EXPECT_THAT(start({"--cwd", "/no/such/place", "--", "/bin/true"}),
              ::testing::HasSubstr("directory /no/such/place: No such"));
  EXPECT_THAT(start({"--cwd", "/", "--", "/no/such/program"}),
              ::testing::HasSubstr("starting /no/such/program: No such"));
}

TEST_F(DaemonTest, a_unit_outlives_the_controller) {
  run("headless", "node-3", 100);
  grid().kill("controller");
  grid().start("controller");
  expect_whole("headless", 100);
}

TEST_F(DaemonTest, moves_around_the_grid_keep_the_output_whole) {
  run("round", "node-1", 300);
  for (const char* to : {"node-2", "node-3", "node-1"}) {
    const auto moved = grid().godwit({"move", "round", "--to", to});
    EXPECT_EQ(moved.status, 0) << moved.err;
  }
  EXPECT_EQ(show("round").value("node", ""), "node-1");
  expect_whole("round", 300);
}

// A daemon that goes into the background: the unit's status is its first program's, wherever the rest of it ends.
TEST_F(DaemonTest, a_unit_whose_program_has_ended_moves_and_is_restored_with_its_status) {
  const std::string program =
      "import os,sys,time\n"
      "if os.fork(): sys.exit(7)\n"
      "os.setsid()\n"
      "while os.getppid() != 1: time.sleep(0.001)\n"
      "for i in range(200):\n  print(i,flush=True)\n  time.sleep(0.01)\nsys.exit(3)";
  const auto ran =
      grid().godwit({"run", "--name", "daemon", "--node", "node-1", "--", "/usr/bin/python3", "-c", program});
  ASSERT_EQ(ran.status, 0) << ran.err;
  ASSERT_TRUE(eventually([] { return !logs("daemon").empty(); }));
  const auto moved = grid().godwit({"move", "daemon", "--to", "node-2"});
  EXPECT_EQ(moved.status, 0) << moved.err;
  const auto kept = grid().godwit({"checkpoint", "daemon"});
  EXPECT_EQ(kept.status, 0) << kept.err;
  const auto branch = grid().godwit({"restore", "daemon", "--branch", "--name", "branch", "--node", "node-3"});
  EXPECT_EQ(branch.status, 0) << branch.err;
  for (const char* unit : {"daemon", "branch"}) {
    expect_whole(unit, 200);
    EXPECT_EQ(show(unit)["exit"].value("status", -1), 7) << show(unit).dump();
  }
}

// Kills `who` at `point` of a move from node-1 to node-2, starts it again, and proves that the unit ran exactly once.
void kill_at(Grid& grid, const std::string& who, const std::string& point) {
  grid.kill(who);
  grid.start(who, point + ":kill");
}

class KilledDuringMove : public DaemonTest,
                         public ::testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(KilledDuringMove, the_unit_runs_exactly_once) {
  const auto [who, point] = GetParam();
  std::string name = point;
  std::ranges::replace(name, '.', '-');
  run(name, "node-1", 400);
  kill_at(grid(), who, point);
  std::thread moving([&] { (void)grid().godwit({"move", name, "--to", "node-2"}); });
  EXPECT_TRUE(eventually([&, w = std::string(who)] { return !grid().runs(w); })) << "the point was not passed";
  grid().start(who);
  moving.join();
  expect_whole(name, 400);
}

INSTANTIATE_TEST_SUITE_P(
    Points, KilledDuringMove,
    ::testing::Values(std::pair("node-1", "source.prepare"), std::pair("node-1", "source.keeper"),
                      std::pair("node-2", "destination.prepare"), std::pair("node-2", "destination.keeper"),
                      std::pair("node-2", "destination.answered"), std::pair("controller", "controller.planned"),
                      std::pair("controller", "controller.commit"), std::pair("controller", "controller.committed")));

TEST_F(DaemonTest, a_node_is_there_though_keepers_do_not_answer) {
  std::vector<pid_t> keepers;
  for (const char* name : {"hung-1", "hung-2", "hung-3"}) {
    const std::string id = run(name, "node-3", 300);
    keepers.push_back(ProcTable::read().first(grid().member("node-3").holder_pid, "godwit-keeper --unit " + id));
    ASSERT_GT(keepers.back(), 0);
  }
  for (const pid_t pid : keepers) ::kill(pid, SIGSTOP);
  // Heard of four times more, and never taken for gone in between.
  std::set<int64_t> seen;
  bool always = true;
  EXPECT_TRUE(eventually(
      [&] {
        for (const auto& n : json::parse(grid().godwit({"nodes", "--json"}).out, nullptr, false)) {
          if (n.value("name", "") != "node-3") continue;
          always = always && n.value("state", "") == "ready";
          seen.insert(n.value("seen_ms", int64_t{0}));
        }
        return seen.size() >= 5 || !always;
      },
      std::chrono::seconds(60)));
  EXPECT_TRUE(always);
  for (const pid_t pid : keepers) ::kill(pid, SIGCONT);
  for (const char* name : {"hung-1", "hung-2", "hung-3"}) expect_whole(name, 300);
}

// A machine's memory is what its control groups leave of it: found before anything is touched.
TEST_F(DaemonTest, a_unit_that_would_not_fit_the_destinations_memory_is_refused) {
  if (MemoryGroup::missing()) GTEST_SKIP() << "needs a memory cgroup";
  const MemoryGroup small("small");
  ASSERT_TRUE(small.limit(100 << 20));
  const auto daemon = grid().member("node-2").daemon_pid;
  ASSERT_TRUE(small.add(daemon));
  const auto ran = grid().godwit({"run", "--name", "fat", "--node", "node-1", "--", "/usr/bin/python3", "-c",
                                  "x=b'x'*(200<<20)\nprint(len(x),flush=True)\nimport time\ntime.sleep(1000)"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  ASSERT_TRUE(eventually([] { return logs("fat") == "209715200\n"; }));
  const auto moved = grid().godwit({"move", "fat", "--to", "node-2"});
  EXPECT_EQ(moved.status, 3) << moved.err;
  EXPECT_NE(moved.err.find("memory"), std::string::npos) << moved.err;
  EXPECT_EQ(show("fat").value("node", ""), "node-1");
  EXPECT_EQ(show("fat").value("state", ""), "running");
  EXPECT_TRUE(small.limit(-1));
  EXPECT_EQ(grid().godwit({"move", "fat", "--to", "node-2"}).status, 0);
  EXPECT_EQ(grid().godwit({"kill", "fat"}).status, 0);
  grid().kill("node-2");  // and out of the group
  grid().start("node-2");
}

}  // namespace
}  // namespace godwit::test
