#include "sched/estimate.h"

#include <gtest/gtest.h>

#include <limits>

namespace godwit::sched {
namespace {

TEST(Links, speak_from_what_was_seen) {
  Links links(50e6);
  EXPECT_DOUBLE_EQ(links.speed(0, 1), 50e6);
  links.saw(0, 1, 100e6, 1);
  EXPECT_DOUBLE_EQ(links.speed(0, 1), 100e6);
  EXPECT_DOUBLE_EQ(links.speed(1, 0), 100e6) << "the other way";
  EXPECT_DOUBLE_EQ(links.speed(2, 3), 100e6) << "the mean of what is known";
  links.saw(0, 1, 200e6, 1);
  EXPECT_DOUBLE_EQ(links.speed(0, 1), 125e6) << "a new sample counts a fourth";
  links.saw(0, 1, 1000, 0.001);
  links.saw(0, 1, 1e9, 0);
  EXPECT_DOUBLE_EQ(links.speed(0, 1), 125e6) << "small ones and impossible ones say nothing";
}

TEST(MoveCost, grows_with_memory_dirt_and_a_slow_link) {
  const CostModel model;
  const auto cost = [&](double memory, double dirty, double link) {
    return predict(model, memory, dirty, link).lost_s;
  };
  EXPECT_LT(cost(1e8, 0, 1e8), cost(1e9, 0, 1e8));
  EXPECT_LT(cost(1e9, 1e7, 1e8), cost(1e9, 5e7, 1e8));
  EXPECT_LT(cost(1e9, 1e7, 1e9), cost(1e9, 1e7, 1e8));
}

TEST(MoveCost, is_the_geometric_series_of_its_rounds) {
  CostModel model;
  model.fixed_s = model.setup_s = 0;
  model.last_round_bytes = 1e6;
  // 100 MB at 100 MB/s, 10 MB/s dirtied: rounds of 100, 10 MB; 1 MB is left for the freeze.
  const MoveCost cost = predict(model, 100e6, 10e6, 100e6);
  EXPECT_NEAR(cost.bytes, 111e6, 1);
  EXPECT_NEAR(cost.downtime_s, 0.01, 1e-9);
  EXPECT_NEAR(cost.total_s, 1.11, 1e-9);
  EXPECT_NEAR(cost.lost_s, 0.01 + model.slowdown * 1.10, 1e-9);
}

TEST(MoveCost, of_what_dirties_faster_than_the_link_is_a_stop_and_copy_at_worst) {
  const MoveCost cost = predict(CostModel{}, 1e9, 1e12, 1e8);
  EXPECT_LE(cost.downtime_s, 10.1);
  EXPECT_LE(cost.bytes, 2e9 + 1);
  CostModel stop;
  stop.live = false;
  EXPECT_NEAR(predict(stop, 1e9, 0, 1e8).downtime_s, 10.02, 1e-9);
}

TEST(MoveCost, is_corrected_by_records_and_one_odd_move_changes_nothing) {
  std::vector<MoveRecord> records(9, {2.0, 1.0});
  records.push_back({1000, 1});
  EXPECT_DOUBLE_EQ(learned(CostModel{}, records).factor, 2);
  EXPECT_DOUBLE_EQ(learned(CostModel{}, {}).factor, 1);
  EXPECT_DOUBLE_EQ(learned(CostModel{}, {{1e9, 1}}).factor, 20) << "bounded";
}

TEST(Progress, believes_the_program_first) {
  ProgressFacts facts;
  facts.cpu_seconds = 50;
  facts.speed = 2;
  facts.said_done = 25, facts.said_total = 100;
  facts.read_bytes = 1, facts.input_bytes = 2;
  facts.learned_work = 1e6;
  auto p = progress_of(facts);
  EXPECT_EQ(p.source, ProgressSource::kSaid);
  EXPECT_DOUBLE_EQ(p.finished, 100);
  EXPECT_DOUBLE_EQ(p.total, 400);
  facts.said_total.reset();
  p = progress_of(facts);
  EXPECT_EQ(p.source, ProgressSource::kReads);
  EXPECT_DOUBLE_EQ(p.total, 200);
  facts.input_bytes = 0;
  EXPECT_EQ(progress_of(facts).source, ProgressSource::kLearned);
  facts.learned_work = 3;
  p = progress_of(facts);
  EXPECT_EQ(p.source, ProgressSource::kUnknown) << "it has done more than earlier runs: they say nothing";
  EXPECT_DOUBLE_EQ(p.total, 200) << "it goes on as long as it has lasted";
}

TEST(Progress, of_hostile_numbers_stays_a_number) {
  for (const double bad : {-1.0, 0.0, 1e300, std::numeric_limits<double>::quiet_NaN()}) {
    ProgressFacts facts;
    facts.cpu_seconds = 5;
    facts.said_done = bad, facts.said_total = 10;
    const auto p = progress_of(facts);
    EXPECT_GE(p.total, p.finished) << bad;
    EXPECT_GE(p.fraction(), 0);
    EXPECT_LE(p.fraction(), 1);
  }
}

TEST(History, is_a_geometric_mean_that_follows) {
  History history;
  EXPECT_FALSE(history.work());
  history.ended(100);
  EXPECT_NEAR(*history.work(), 100, 1e-9);
  history.ended(400);
  EXPECT_NEAR(*history.work(), 200, 1e-9);
  for (int i = 0; i < 40; ++i) history.ended(1000);
  EXPECT_NEAR(*history.work(), 1000, 10);
  history.ended(0);
  EXPECT_EQ(history.count, 42u);
}

TEST(Rate, is_a_mean_that_forgets) {
  Rate rate(10);
  rate.sample(0, 100);
  EXPECT_FALSE(rate.known());
  rate.sample(1, 110);
  EXPECT_DOUBLE_EQ(rate.per_s(), 10);
  for (int t = 2; t < 100; ++t) rate.sample(t, 110 + 20 * (t - 1));
  EXPECT_NEAR(rate.per_s(), 20, 0.01);
  rate.sample(100, 5);  // began anew
  EXPECT_NEAR(rate.per_s(), 20, 0.01);
  rate.sample(101, 25);
  EXPECT_NEAR(rate.per_s(), 20, 0.1);
}

}  // namespace
}  // namespace godwit::sched
