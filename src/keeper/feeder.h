// Feeder: brings what the user types to the unit's relay (relay/main.cc), through the FIFO at kInputPath.
//
// Each request is answered when the unit has taken it. While the unit is frozen nothing is written: the FIFO's content
// may be on its way already. When the move commits, what waits is answered kGone (whoever sent it sends it again to the
// next node); when it fails, it goes in. So each byte is taken exactly once.
//
// Threads: one of its own, as the program may not read for a long time; all methods from any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/fd.h"
#include "base/result.h"
#include "godwit/keeper.pb.h"

namespace godwit::keeper {

inline constexpr const char* kInputPath = "/run/godwit/unit/in";

class Feeder {
 public:
  using Answer = std::function<void(uint64_t id, Result<void> result)>;
  explicit Feeder(Answer answer);
  ~Feeder();
  /// The unit is here; `unit_mount` is its directory of kInputPath.
  void open(Fd unit_mount);
  /// An Input or a Resize.
  void push(wire::keeper::Packet request);
  /// From now on nothing reaches the unit. Returns when nothing is on its way.
  void hold();
  void release();
  /// The unit isn't here any more.
  void gone();

 private:
  void run();
  enum class Fed { kFull, kMore, kDone };
  /// Writes one record of the first request. Under mutex_.
  Result<Fed> feed_some();
  void answer_front(Result<void> result, std::unique_lock<std::mutex>& lock);

  const Answer answer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<wire::keeper::Packet> waiting_;
  size_t fed_ = 0;  // of the first one's data
  Fd mount_;
  bool held_ = false, gone_ = false, stop_ = false;
  std::thread thread_;
};

}  // namespace godwit::keeper
