// link: packets and descriptors between a node's daemon and a keeper (proto/godwit/keeper.proto has the rules), and the
// preamble by which the daemon knows for which keeper a data stream is.
//
//     TRY(Fd listener, link::listen(dir + "/keeper.sock"));       // daemon, before it starts the keeper
//     TRY(Fd socket, link::connect(dir + "/keeper.sock"));
//     link::Channel channel(std::move(socket));
//     TRY_DO(channel.send(packet, fds));
//     wire::keeper::Packet in;
//     TRY(std::vector<Fd> fds, channel.receive(in));
//
// Threads: send() may be called by several threads at once, receive() by one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::wire::keeper {
class Packet;
}

namespace godwit::link {

inline constexpr size_t kInlineLimit = 64u << 10;  ///< a longer packet goes through a memfd
inline constexpr size_t kPacketLimit = 16u << 20;  ///< longer ones are refused by both sides

/// Binds and listens at `path` (mode 0600; a socket file that was there is replaced). Works for paths longer than
/// sockaddr_un holds, by way of the directory's descriptor.
Result<Fd> listen(const std::string& path);
/// Connects; nobody listening is Code::kPeer, no socket file Code::kNotFound.
Result<Fd> connect(const std::string& path);
/// Accepts one connection on a listener made by listen(). Blocks unless something waits.
Result<Fd> accept(const Fd& listener);

/// One end of a connection.
class Channel {
 public:
  explicit Channel(Fd socket);
  [[nodiscard]] int fd() const { return socket_.get(); }

  /// Sends one packet. Blocks at most some seconds when the peer doesn't read (it is stopped): then Code::kPeer.
  Result<void> send(const wire::keeper::Packet& packet, std::span<const int> fds = {});
  /// For progress: true when it went out, false when the peer is behind and the packet was dropped.
  Result<bool> try_send(const wire::keeper::Packet& packet);
  /// Receives one packet and its descriptors. End of the connection is Code::kPeer.
  Result<std::vector<Fd>> receive(wire::keeper::Packet& packet);

 private:
  Fd socket_;
  std::mutex sending_;
};

/// The first 64 bytes of each data stream, in clear. All numbers are little-endian.
///
///     0  8   magic "GODWIT\r\n"      (a text-mode transfer breaks it)
///     8  4   version, 1
///    12  4   index of the stream, from 0
///    16  4   number of streams of this move, 1 to 64
///    20  16  migration id, lower-case hex digits
///    36  28  zero
struct Preamble {
  std::string migration;  ///< 16 lower-case hex digits
  uint32_t index = 0;
  uint32_t streams = 1;
  bool operator==(const Preamble&) const = default;
};
inline constexpr size_t kPreambleSize = 64;
inline constexpr uint32_t kMaxStreams = 64;

std::array<std::byte, kPreambleSize> encode(const Preamble& preamble);
/// Every byte is checked; anything else than a preamble is Code::kCorrupt.
Result<Preamble> decode(std::span<const std::byte, kPreambleSize> bytes);

}  // namespace godwit::link
