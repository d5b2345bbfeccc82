// One TCP connection with TLS 1.3 inside: whole reads and whole writes, bounded in time, that another thread can break off.
//
// Threads: one reader and any number of writers at once. OpenSSL allows one call at a time on a connection, so each call
// is made without blocking under `ssl_mutex_`, and waiting (poll) happens outside of it; `write_mutex_` keeps the pieces
// of one write together. Lock order: write_mutex_, then ssl_mutex_.
#pragma once

#include <openssl/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "base/pki.h"
#include "base/result.h"

namespace godwit::migration {

/// How long nothing may happen. A dead link is told from a slow one by the kernel's acknowledgements and by heartbeats.
struct Patience {
  Nanos handshake = std::chrono::seconds(5);
  Nanos silence = std::chrono::seconds(5);  ///< of a control stream, on which a heartbeat comes each second
  Nanos stall = std::chrono::seconds(20);  ///< of a data stream's writer: the peer takes nothing at all
  Nanos heartbeat = std::chrono::seconds(1);
  Nanos progress = std::chrono::milliseconds(200);  ///< between two reports while something is sent
  Nanos ask_again = std::chrono::seconds(1);  ///< of a commit or resolve question that nobody has answered
};

class TlsStream {
 public:
  /// Makes TLS on a connected socket (TCP or, for tests, a socketpair) and checks that the peer's certificate names
  /// `peer`. Another name is Code::kPeer.
  static Result<std::unique_ptr<TlsStream>> handshake(Fd socket, SSL_CTX* context, pki::Side side,
                                                      const std::string& peer, Nanos timeout);
  ~TlsStream();
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  /// Writes all of it, and hands it to the kernel. Fails when nothing could be written for `stall`.
  Result<void> write(std::span<const std::byte> data, Nanos stall);
  /// The parts as one write: no other writer gets between them.
  Result<void> write(std::initializer_list<std::span<const std::byte>> parts, Nanos stall);
  /// Fills the buffer. Fails when nothing came for `silence` (zero: waits without end, until cancel()).
  Result<void> read(std::span<std::byte> buffer, Nanos silence);
  /// Breaks off every read and write, now and later. Any thread.
  void cancel();

  [[nodiscard]] uint64_t bytes_written() const { return written_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t bytes_read() const { return read_.load(std::memory_order_relaxed); }

 private:
  TlsStream(Fd socket, SSL* ssl);
  Result<void> shake(pki::Side side, Nanos timeout);
  Result<void> write_piece(std::span<const std::byte> data, Nanos stall);
  Result<void> flush(Nanos stall);
  /// What to do after a call of OpenSSL gave `result`: the poll events to wait for, or why it is over.
  Result<short> wanted(int result, const char* doing);
  void wake_at(size_t wanted_bytes);
  Result<void> wait(short events, Nanos timeout, const char* doing);

  Fd socket_;
  SSL* ssl_;
  int low_water_ = 1;  // the reader's
  std::mutex write_mutex_;
  std::mutex ssl_mutex_;
  std::atomic<bool> cancelled_{false};
  std::atomic<uint64_t> written_{0};
  std::atomic<uint64_t> read_{0};
};

/// Connects to "host:port" (IPv4, [IPv6] or a name), set up for a stream: no delay, keepalive, big buffers.
Result<Fd> dial(const std::string& endpoint, Nanos timeout);
/// The same options on an accepted socket. A socket that isn't TCP is left as it is.
void tune(const Fd& socket);

}  // namespace godwit::migration
