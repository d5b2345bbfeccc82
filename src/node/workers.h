// Workers: threads that run jobs which may have to wait long. One more is made when none is free, and one that has nothing
// to do waits for the next: making a thread takes 0.1 to 1 ms, and a commit, for which a unit stands still, is such a job.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace godwit::node {

class Workers {
 public:
  /// With one thread that waits.
  Workers();
  /// Waits until every job is done.
  ~Workers();
  Workers(const Workers&) = delete;

  void run(std::function<void()> job);
  /// Waits until every job is done; none may come any more, but from jobs.
  void finish();

 private:
  void work();
  void start_one();  // needs mutex_

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // guarded by mutex_
  size_t idle_ = 0;  // guarded by mutex_: threads that wait, or will as soon as they have begun
  bool ending_ = false;  // guarded by mutex_
  std::list<std::thread> threads_;  // guarded by mutex_
  std::list<std::thread> ended_;  // guarded by mutex_: to be joined
};

}  // namespace godwit::node
