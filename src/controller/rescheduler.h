// Rescheduler: moves units by itself, when the grid's policy isn't off. One thread: it looks what happened (watch.h), lets the
// policy decide (sched_view.h), and carries the plan out through the Mover, a few moves at a time: those that must go first, and
// alone on the links. A plan that is overtaken by another decision is dropped where it stands; every move of it was good in itself.
//
// Units of a node that will go (leave.h) are taken away also when the policy is off: only those then, and by what would be the policy.
//
// What a node refused is not asked of it again for a while. A unit that a user has just moved stays (the cooldown).
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "controller/ledger.h"
#include "controller/mover.h"
#include "controller/watch.h"

namespace godwit::controller {

class Rescheduler {
 public:
  Rescheduler(Ledger& ledger, Mover& mover) : ledger_(ledger), mover_(mover) {}
  ~Rescheduler() { stop(); }
  Rescheduler(const Rescheduler&) = delete;
  Rescheduler& operator=(const Rescheduler&) = delete;
  void start();
  void stop();

 private:
  struct Wanted {
    std::string unit, to;
    bool forced = false;
    std::string why;
  };
  struct Running {
    std::shared_ptr<Move> move;
    Wanted wanted;
  };
  void loop();
  void look();
  void decide(const SchedEvent& event, bool on);
  void bar(const Wanted& refused);
  void carry_out();
  void reap();

  Ledger& ledger_;
  Mover& mover_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
  // The thread's own.
  Watch watch_;
  std::deque<Wanted> wanted_;
  std::vector<Running> running_;
  std::map<std::pair<std::string, std::string>, int64_t> refused_;  ///< (unit, node) → until when, monotonic ms
};

}  // namespace godwit::controller
