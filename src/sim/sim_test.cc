// Runs tests/scripts/sim_*.txt: "$ godwit sim …", then what is printed and the exit status. A person reads the diff:
//
//     GODWIT_REWRITE=1 build/release/bin/sim_test --gtest_filter='Scripts.*'      # writes what is printed now
#include "sim/sim.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <sstream>

#include "base/io.h"
#include "base/replayed_scripts.h"

namespace godwit::sim {
namespace {

TEST(Scripts, simulations_go_as_written) {
  ASSERT_EQ(::chdir(GODWIT_SOURCE_DIR), 0);
  test::expect_scripts("tests/scripts", "sim_", 2,
                       [](const auto& text) { return test::replay_commands(text, "godwit sim ", main); });
}

TEST(Simulation, of_one_unit_takes_as_long_as_its_work) {
  const auto s = parse_scenario("grid tick=0\nnode a speed=2\njob j work=100\n", ".");
  ASSERT_TRUE(s) << s.error().text;
  const auto runs = compare(*s, {*sched::choose("none")}, false);
  ASSERT_TRUE(runs);
  EXPECT_NEAR(runs->at(0).makespan, 50, 1e-6);
  EXPECT_NEAR(runs->at(0).efficiency, 1, 1e-6);
  EXPECT_EQ(runs->at(0).moves, 0u);
}

TEST(Simulation, ends_when_what_waits_fits_nowhere) {
  for (const char* job : {"job j work=10 memory=2G\n", "job j work=10 arch=s390x\n"}) {
    const auto s =
        parse_scenario(std::string("grid tick=30\nnode a memory=1G arch=x86_64\njob i work=100\n") + job, ".");
    ASSERT_TRUE(s) << s.error().text;
    const auto runs = compare(*s, {*sched::choose("min-min-m")}, false);
    ASSERT_TRUE(runs);
    EXPECT_EQ(runs->at(0).unplaced, 1u) << job;
  }
  EXPECT_FALSE(parse_scenario("node a cpus=1e30\njob j work=1\n", "."));
  EXPECT_FALSE(parse_scenario("node a speed=1e308T\njob j work=1\n", "."));
}

// By hand: two units of 100 s on one node; at 40 s another joins. 20 s of each are done; one moves: setup 0, 100 MB at 100 MB/s
// is 1 s in which both still share (0.5 s of work), then 0.02 s of freeze and 0.1 s that pages streaming cost it.
TEST(Simulation, of_a_move_costs_what_is_predicted) {
  const auto s = parse_scenario(
      "grid tick=0 latency=0\nnode a,b bandwidth=100M\nmoves setup=0 fixed=20ms slowdown=0.1\n"
      "job j processes=2 work=100 memory=100M dirty=0 on=a\nat 0 leave b\nat 40 join b\n",
      ".");
  ASSERT_TRUE(s) << s.error().text;
  const auto runs = compare(*s, {*sched::choose("min-min-s")}, true);
  ASSERT_TRUE(runs);
  EXPECT_EQ(runs->at(0).moves, 1u);
  const double begun = 40.1, streamed = begun + 1, left = 100 - streamed / 2;
  // SimGrid's CM02 gives a link's bandwidth to within its latency and rounding.
  EXPECT_NEAR(runs->at(0).makespan, streamed + 0.12 + left, 0.2);
}

// By hand: as above, but 2 CPU seconds on either node serve the move. On a three share (at weight 1), so 6 s in which the two
// units do 2 s each; on b they are alone. Weighed as 8 units they take 2.5 s there, in which each unit does 0.25 s.
TEST(Simulation, of_a_move_counts_the_processors_that_serve_it) {
  const auto makespan = [](const std::string& weight) {
    const auto s = parse_scenario(
        "grid tick=0 latency=0\nnode a,b bandwidth=100M\nmoves setup=0 fixed=0 slowdown=0 cpu_from=2 cpu_to=2 " +
            weight + "\njob j processes=2 work=100 memory=1 dirty=0 on=a\nat 0 leave b\nat 40 join b\n",
        ".");
    EXPECT_TRUE(s);
    const auto runs = compare(*s, {*sched::choose("min-min-s")}, false);
    EXPECT_TRUE(runs);
    return runs->at(0).makespan;
  };
  EXPECT_NEAR(makespan(""), 40.1 + 6 + (100 - 20.05 - 2), 0.1);
  EXPECT_NEAR(makespan("weight=8"), 40.1 + 2.5 + (100 - 20.05 - 0.25), 0.1);
}

TEST(Simulation, is_the_same_twice) {
  const auto s = parse_scenario(
      "grid tick=20 noise=0.3 checkpoint=60 seed=9\nnode c count=8 cpus=1..2 speed=0.5..2 memory=2G\n"
      "churn share=0.5 every=300 away=60 notice=20 vanish=0.3\nworkload lublin jobs=60 machine=8 load=0.8 scale=0.05\n",
      ".");
  ASSERT_TRUE(s) << s.error().text;
  const auto one = compare(*s, {*sched::choose("tabu"), *sched::choose("gossip")}, true);
  const auto two = compare(*s, {*sched::choose("tabu"), *sched::choose("gossip")}, true);
  ASSERT_TRUE(one && two);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(one->at(i).log, two->at(i).log);
    EXPECT_EQ(one->at(i).jobs, 60u);
  }
}

TEST(Scenario, says_what_is_wrong_and_where) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"node a\n", "there is no job"},
      {"job j work=1\n", "there is no node"},
      {"node a\nnode a\n", "line 2"},
      {"node a speed=0\n", "line 1"},
      {"node a colour=red\n", "colour"},
      {"node a\njob j\n", "work="},
      {"node a\njob j work=x\n", "\"x\""},
      {"node a\njob j work=1 on=b\n", "no node b"},
      {"node a\nat 5 explode a\n", "explode"},
      {"node a\nat -5 join a\n", "-5"},
      {"node a\nset min_gain=lots\n", "min_gain"},
      {"node a\ntrace missing.swf\n", "missing.swf"},
      {"nodes a\n", "nodes"},
      {"node a count=1e9\n", "count"},
      {"node a cpus=1..99999\n", "line 1"},
  };
  for (const auto& [text, words] : bad) {
    const auto s = parse_scenario(text, "/nonexistent");
    ASSERT_FALSE(s) << text;
    EXPECT_NE(s.error().message().find(words), std::string::npos) << text << " → " << s.error().message();
  }
}

TEST(Lublin, is_like_its_paper) {
  Lublin model;
  model.jobs = 20'000, model.machine = 128, model.seed = 4;
  const auto jobs = lublin_jobs(model);
  size_t serial = 0, powers = 0;
  double log_sum = 0;
  for (const auto& j : jobs) {
    serial += j.processes == 1;
    powers += j.processes > 1 && (j.processes & (j.processes - 1)) == 0;
    log_sum += std::log(j.work);
    EXPECT_LE(j.processes, 128);
    EXPECT_LE(j.work, std::exp(12.0));
  }
  const double n = static_cast<double>(jobs.size());
  EXPECT_NEAR(static_cast<double>(serial) / n, 0.2927, 0.03);
  EXPECT_GT(static_cast<double>(powers) / n, 0.6);
  // About 0.6 * 5.41 + 0.4 * 9.97.
  EXPECT_NEAR(log_sum / n, 7.0, 0.6);
  EXPECT_TRUE(std::ranges::is_sorted(jobs, {}, &JobSpec::at));
}

TEST(Lublin, offers_the_load_that_was_asked_for) {
  Lublin model;
  model.jobs = 3000, model.load = 0.5, model.capacity = 40;
  const auto jobs = lublin_jobs(model);
  double work = 0;
  for (const auto& j : jobs) work += j.work * j.processes;
  EXPECT_NEAR(work / (jobs.back().at * 40), 0.5, 1e-6);
}

TEST(Swf, comes_back_as_it_went) {
  Lublin model;
  model.jobs = 50;
  const auto jobs = lublin_jobs(model);
  const auto back = parse_swf(to_swf(jobs), 0, 1);
  ASSERT_TRUE(back);
  ASSERT_EQ(back->size(), jobs.size());
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(back->at(i).processes, jobs[i].processes);
    EXPECT_NEAR(back->at(i).work, jobs[i].work, 1);
    EXPECT_NEAR(back->at(i).memory, jobs[i].memory, 1024);
  }
}

TEST(Swf, leaves_out_what_never_ran_and_refuses_what_is_no_trace) {
  const auto two = parse_swf("; comment\n1 10 0 5 2 -1 -1 2\n2 20 0 -1 2\n3 30 0 7 -1 -1 1024 4 -1 -1 5\n", 0, 2);
  ASSERT_TRUE(two);
  ASSERT_EQ(two->size(), 2u);
  EXPECT_DOUBLE_EQ(two->at(0).work, 10);
  EXPECT_DOUBLE_EQ(two->at(1).at, 20);
  EXPECT_EQ(two->at(1).processes, 4);
  EXPECT_DOUBLE_EQ(two->at(1).memory, 1024 * 1024);
  for (const char* bad : {"", "hello\n", "1 2 3\n", ";\n;\n", "1 10 0 nan 2\n", "1 10 0 5 1e300 -1 -1 2\n"})
    EXPECT_FALSE(parse_swf(bad, 0, 1)) << bad;
}

}  // namespace
}  // namespace godwit::sim
