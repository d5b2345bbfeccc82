// Threads of the library: mutexes, conditions, futures, atomics that wait, call_once, thread_local objects, exceptions that
// cross threads. What is printed doesn't depend on the order in which threads run.
#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <latch>
#include <mutex>
#include <numeric>
#include <queue>
#include <semaphore>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static std::atomic<int> made{0}, destroyed{0};
struct Of_thread {
  std::vector<int> kept;
  Of_thread() { made++; }
  ~Of_thread() { destroyed++; }
};
static thread_local Of_thread of_thread;

static const std::string& once() {
  static const std::string value = [] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return std::string("made once, and long enough for the heap");
  }();
  return value;
}

class Channel {
 public:
  void put(int x) {
    {
      const std::lock_guard lock(mutex_);
      items_.push(x);
    }
    ready_.notify_one();
  }
  int take() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [this] { return !items_.empty(); });
    const int x = items_.front();
    items_.pop();
    return x;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::queue<int> items_;
};

static long work(int n) {
  long sum = 0;
  for (int i = 0; i < n; i++) {
    try {
      if (i % 50 == 7) throw i;
      sum += i;
    } catch (int k) {
      sum -= k;
    }
  }
  return sum;
}

int main() {
  Channel questions, answers;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++)
    threads.emplace_back([&] {
      of_thread.kept.push_back(1);
      (void)once();
      for (int x; (x = questions.take()) >= 0;) answers.put(static_cast<int>(work(x) % 10007));
    });
  for (int i = 0; i < 60; i++) questions.put(100 + i);
  long sum = 0;
  for (int i = 0; i < 60; i++) sum += answers.take();
  for (std::size_t t = 0; t < threads.size(); t++) questions.put(-1);
  for (auto& t : threads) t.join();
  std::printf("sum %ld made %d destroyed %d %s\n", sum, made.load(), destroyed.load(), once().c_str());

  auto good = std::async(std::launch::async, work, 1000);
  auto bad = std::async(std::launch::async, []() -> int { throw std::runtime_error("from another thread"); });
  std::promise<std::string> promise;
  auto promised = promise.get_future();
  std::thread keeper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    promise.set_value("kept");
  });
  std::printf("good %ld %s\n", good.get(), promised.get().c_str());
  keeper.join();
  try {
    bad.get();
  } catch (const std::exception& e) {
    std::printf("bad: %s\n", e.what());
  }
  try {
    auto broken = std::promise<int>().get_future();
    broken.get();
  } catch (const std::future_error& e) {
    std::printf("future_error %d\n", e.code() == std::future_errc::broken_promise);
  }

  std::once_flag flag;
  std::atomic<int> ran{0}, turn{0};
  std::shared_mutex shared;
  std::counting_semaphore<4> slots(2);
  std::latch all(4);
  std::barrier round(4);
  std::vector<int> order(4);
  std::vector<std::thread> more;
  for (int t = 0; t < 4; t++)
    more.emplace_back([&, t] {
      all.arrive_and_wait();
      std::call_once(flag, [&] { ran++; });
      for (int k = 0; k < 20; k++) {
        slots.acquire();
        {
          const std::shared_lock reading(shared);
          (void)order[static_cast<std::size_t>(t)];
        }
        slots.release();
        round.arrive_and_wait();
      }
      for (int seen; (seen = turn.load()) != t;) turn.wait(seen);
      order[static_cast<std::size_t>(t)] = t * t;
      turn.store(t + 1);
      turn.notify_all();
    });
  for (auto& t : more) t.join();
  std::printf("ran %d turn %d order %d\n", ran.load(), turn.load(), std::accumulate(order.begin(), order.end(), 0));
  std::timed_mutex timed;
  timed.lock();
  std::thread waiter([&] { std::printf("timed %d\n", timed.try_lock_for(std::chrono::milliseconds(10))); });
  waiter.join();
  timed.unlock();
}
