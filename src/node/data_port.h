// The data port: takes the streams of moves and hands each to the keeper that waits for it.
//
// What connects is hostile until its keeper has seen its certificate. So until a connection has said the id of a move that is waited
// for, it costs a descriptor and a row of a fixed table, and nothing else: no thread, no memory, no keeper hears of it. It has 64 bytes
// and some seconds to say it. When the table is full the one that has been silent longest goes; one address never has more than
// half of it.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/result.h"
#include "link/link.h"

namespace godwit::node {

class DataPort {
 public:
  /// Whether somebody waits for this move. Asked on the port's own thread: must be quick.
  using Wanted = std::function<bool(const link::Preamble&)>;
  /// Gets each stream of a move that is waited for, on a thread of its own.
  using Deliver = std::function<void(const link::Preamble&, Fd socket)>;

  DataPort(Wanted wanted, Deliver deliver) : wanted_(std::move(wanted)), deliver_(std::move(deliver)) {}
  ~DataPort();
  /// Listens at HOST:PORT (IPv4; port 0: any) and accepts from then on.
  Result<void> start(const std::string& address);
  [[nodiscard]] int port() const { return port_; }

  static constexpr size_t kMaxWaiting = 128;

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    Fd socket;
    std::array<std::byte, link::kPreambleSize> bytes{};
    size_t have = 0;
    uint32_t address = 0;
    Clock::time_point until;
  };
  void accept_all();
  void accept_one();
  [[nodiscard]] int timeout() const;
  void drop_late();
  /// Reads what is there; true when the connection is done with, one way or the other.
  bool read_from(Waiting& waiting);
  void pass_on(Waiting& waiting);

  const Wanted wanted_;
  const Deliver deliver_;
  Fd listener_;
  Fd wake_;
  int port_ = 0;
  std::array<Waiting, kMaxWaiting> waiting_;  // accept_all()'s
  std::atomic<int> delivering_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace godwit::node
