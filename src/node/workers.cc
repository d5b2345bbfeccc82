#include "node/workers.h"

#include <algorithm>
#include <utility>

namespace godwit::node {
namespace {
constexpr size_t kIdleKept = 4;
}

Workers::Workers() {
  const std::lock_guard lock(mutex_);
  start_one();
}

Workers::~Workers() { finish(); }

void Workers::start_one() {
  idle_++;
  threads_.emplace_back([this] { work(); });
}

void Workers::run(std::function<void()> job) {
  std::list<std::thread> ended;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (idle_ < jobs_.size()) start_one();
    changed_.notify_one();
    ended.swap(ended_);
  }
  for (auto& thread : ended) thread.join();
}

void Workers::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ending_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    idle_--;
    lock.unlock();
    job();
    // Before the lock: what it holds may be the last of a unit, whose connection ends with it, and that end is a job.
    job = nullptr;
    lock.lock();
    if (idle_ >= kIdleKept && !ending_) break;
    idle_++;
  }
  const auto self = std::ranges::find(threads_, std::this_thread::get_id(), &std::thread::get_id);
  ended_.splice(ended_.end(), threads_, self);
}

void Workers::finish() {
  for (;;) {  // the last jobs may bring jobs
    std::list<std::thread> all;
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
      changed_.notify_all();
      all.swap(threads_);
      all.splice(all.end(), ended_);
    }
    if (all.empty()) return;
    for (auto& thread : all) thread.join();
  }
}

}  // namespace godwit::node
