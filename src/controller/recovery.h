// Recovery: units that were being started or restored when the controller was killed. The row says STARTING; only the
// node knows whether the unit runs. Each is asked for until its node answers.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "controller/ledger.h"
#include "controller/peers.h"

namespace godwit::controller {

class Recovery {
 public:
  Recovery(Ledger& ledger, Peers& peers) : ledger_(ledger), peers_(peers) {}
  ~Recovery() { stop(); }
  Recovery(const Recovery&) = delete;
  Recovery& operator=(const Recovery&) = delete;
  /// Call it before the first new unit can be started: it takes what is STARTING now.
  void start();
  void stop();

 private:
  bool settle(const wire::Unit& unit);
  Ledger& ledger_;
  Peers& peers_;
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace godwit::controller
