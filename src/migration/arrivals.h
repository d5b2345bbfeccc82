// Arrivals: the streams of a source as they come to its destination, in any order and perhaps with strangers among them.
//
// Each is greeted (TLS, then the token) on a thread of its own, so that one which says nothing keeps nobody waiting; each
// one that was admitted puts a kStream into the mailbox, after which whoever gathers them looks again. The first of a
// number counts. Threads: add() any; the rest that of the driver.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "migration/session.h"

namespace godwit::migration {

class Arrivals {
 public:
  /// All three outlive it.
  Arrivals(const Plan& plan, SSL_CTX* tls, Mailbox& mailbox) : plan_(plan), tls_(tls), mailbox_(mailbox) {}
  ~Arrivals() { close(); }
  Arrivals(const Arrivals&) = delete;

  /// A connected socket whose preamble was read.
  void add(uint32_t index, Fd socket);
  /// Stream 0, once; null while it isn't there and when it was taken.
  std::unique_ptr<TlsStream> take_control();
  /// Streams 1 to `count`, none before all of them are there. From then on nobody is greeted any more.
  std::vector<std::unique_ptr<TlsStream>> take_data(uint32_t count);
  /// Nobody is greeted any more, and nobody is being greeted.
  void close();

 private:
  Result<void> admit(uint32_t index, Fd socket);

  const Plan& plan_;
  SSL_CTX* const tls_;
  Mailbox& mailbox_;
  std::mutex mutex_;
  std::map<uint32_t, std::unique_ptr<TlsStream>> arrived_;  // guarded by mutex_
  std::vector<std::jthread> greeters_;  // guarded by mutex_
  bool closed_ = false;  // guarded by mutex_
};

}  // namespace godwit::migration
