#include "node/workers.h"  // first, so that the header proves self-contained

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

namespace godwit::node {
namespace {

TEST(Workers, run_jobs_that_wait_for_each_other_at_once) {
  constexpr int kJobs = 10;
  std::latch all(kJobs);
  std::atomic<int> done = 0;
  {
    Workers workers;
    for (int i = 0; i < kJobs; i++) {
      workers.run([&] {
        all.arrive_and_wait();
        done++;
      });
    }
  }
  EXPECT_EQ(done, kJobs);
}

TEST(Workers, use_a_thread_again) {
  Workers workers;
  std::thread::id first;
  for (int i = 0; i < 3; i++) {
    std::latch done(1);
    workers.run([&] {
      if (i == 0) first = std::this_thread::get_id();
      EXPECT_EQ(std::this_thread::get_id(), first);
      done.count_down();
    });
    done.wait();
    // It counts as free a moment after its job is done.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

TEST(Workers, a_job_may_bring_jobs) {
  std::atomic<int> done = 0;
  {
    Workers workers;
    std::latch second(1);
    workers.run([&] {
      workers.run([&] {
        done++;
        second.count_down();
      });
      done++;
    });
    second.wait();
  }
  EXPECT_EQ(done, 2);
}

}  // namespace
}  // namespace godwit::node
