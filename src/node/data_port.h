// The data port: takes the streams of moves and hands each to the keeper that waits for it.
//
// What connects is hostile until its keeper has seen its certificate: 64 bytes are read within some seconds, at most so
// many connections wait at a time, and what doesn't begin with a preamble is closed without a word.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "base/fd.h"
#include "base/result.h"
#include "link/link.h"

namespace godwit::node {

class DataPort {
 public:
  /// Gets each stream with a good preamble, on a thread of its own.
  using Deliver = std::function<void(const link::Preamble&, Fd socket)>;

  DataPort(Deliver deliver) : deliver_(std::move(deliver)) {}
  ~DataPort();
  /// Listens at HOST:PORT (IPv4; port 0: any) and accepts from then on.
  Result<void> start(const std::string& address);
  [[nodiscard]] int port() const { return port_; }

 private:
  void accept_all();
  void receive(Fd socket);

  const Deliver deliver_;
  Fd listener_;
  Fd wake_;
  int port_ = 0;
  std::atomic<int> waiting_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace godwit::node
