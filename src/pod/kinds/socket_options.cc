// The table of socket options. To add one: a row. An option that a family or kernel doesn't have is passed over.
#include "pod/kinds/socket_options.h"

#include <linux/filter.h>
#include <linux/in6.h>
#include <linux/netlink.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/log.h"
#include "godwit/pod_kinds_socket.pb.h"
#include "pod/kinds.h"

namespace godwit::pod {
namespace {

// Newer than Debian 12's headers (include/uapi/asm-generic/socket.h of Linux 6.16).
constexpr int kSoRcvmark = 75;
constexpr int kSoPassPidfd = 76;
constexpr int kSoRcvPriority = 82;
constexpr int kSoPassRights = 83;
constexpr int kIpLocalPortRange = 51;

constexpr size_t kMaxValue = 64;
constexpr size_t kMaxFilter = 4096 * sizeof(sock_filter);

enum class How { kPlain, kBuffer };
struct Row {
  int level, name;
  OptionStage stage = OptionStage::kAtEnd;
  bool soft = false;  ///< only tunes speed: a host that refuses it gets a warning, not an error
  How how = How::kPlain;
};
constexpr auto kEarly = OptionStage::kBeforeBind;
constexpr auto kLate = OptionStage::kAtEnd;

constexpr Row kRows[] = {
    {SOL_SOCKET, SO_REUSEADDR, kEarly},
    {SOL_SOCKET, SO_REUSEPORT, kEarly},
    {SOL_SOCKET, SO_BINDTODEVICE, kEarly},
    {SOL_SOCKET, SO_MARK, kEarly},
    {SOL_SOCKET, SO_SNDBUF, kLate, true, How::kBuffer},
    {SOL_SOCKET, SO_RCVBUF, kLate, true, How::kBuffer},
    {SOL_SOCKET, SO_BUF_LOCK, kLate, true},  // after the two above, which set it
    {SOL_SOCKET, SO_DONTROUTE},
    {SOL_SOCKET, SO_BROADCAST},
    {SOL_SOCKET, SO_KEEPALIVE},
    {SOL_SOCKET, SO_OOBINLINE},
    {SOL_SOCKET, SO_NO_CHECK},
    {SOL_SOCKET, SO_LINGER},
    {SOL_SOCKET, SO_PASSCRED},
    {SOL_SOCKET, SO_PASSSEC},
    {SOL_SOCKET, kSoPassPidfd},
    {SOL_SOCKET, kSoPassRights},
    {SOL_SOCKET, SO_RCVLOWAT},
    {SOL_SOCKET, SO_RCVTIMEO},
    {SOL_SOCKET, SO_SNDTIMEO},
    {SOL_SOCKET, SO_TIMESTAMP_OLD},
    {SOL_SOCKET, SO_TIMESTAMPNS_OLD},
    {SOL_SOCKET, SO_TIMESTAMP_NEW},
    {SOL_SOCKET, SO_TIMESTAMPNS_NEW},
    {SOL_SOCKET, SO_TIMESTAMPING_OLD, kLate, true},
    {SOL_SOCKET, SO_RXQ_OVFL},
    {SOL_SOCKET, SO_WIFI_STATUS, kLate, true},
    {SOL_SOCKET, SO_NOFCS, kLate, true},
    {SOL_SOCKET, SO_SELECT_ERR_QUEUE},
    {SOL_SOCKET, SO_BUSY_POLL, kLate, true},
    {SOL_SOCKET, SO_PREFER_BUSY_POLL, kLate, true},
    {SOL_SOCKET, SO_MAX_PACING_RATE, kLate, true},
    {SOL_SOCKET, SO_ZEROCOPY},
    {SOL_SOCKET, SO_TXTIME, kLate, true},
    {SOL_SOCKET, SO_TXREHASH, kLate, true},
    {SOL_SOCKET, kSoRcvmark, kLate, true},
    {SOL_SOCKET, kSoRcvPriority, kLate, true},
    {SOL_SOCKET, SO_PEEK_OFF},
    {IPPROTO_IP, IP_FREEBIND, kEarly},
    {IPPROTO_IP, IP_TRANSPARENT, kEarly},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, kEarly},
    {IPPROTO_IP, kIpLocalPortRange, kEarly},
    {IPPROTO_IP, IP_TOS},  // sets SO_PRIORITY too
    {IPPROTO_IP, IP_TTL},
    {IPPROTO_IP, IP_RECVOPTS},
    {IPPROTO_IP, IP_RETOPTS},
    {IPPROTO_IP, IP_PKTINFO},
    {IPPROTO_IP, IP_MTU_DISCOVER},
    {IPPROTO_IP, IP_RECVERR},
    {IPPROTO_IP, IP_RECVTTL},
    {IPPROTO_IP, IP_RECVTOS},
    {IPPROTO_IP, IP_RECVORIGDSTADDR},
    {IPPROTO_IP, IP_MINTTL},
    {IPPROTO_IP, IP_NODEFRAG},
    {IPPROTO_IP, IP_CHECKSUM},
    {IPPROTO_IP, IP_RECVFRAGSIZE},
    {IPPROTO_IP, IP_MULTICAST_IF},
    {IPPROTO_IP, IP_MULTICAST_TTL, kLate, true},
    {IPPROTO_IP, IP_MULTICAST_LOOP},
    {IPPROTO_IP, IP_MULTICAST_ALL},
    {IPPROTO_IP, IP_UNICAST_IF},
    {SOL_SOCKET, SO_PRIORITY, kLate, true},
    {IPPROTO_IPV6, IPV6_V6ONLY, kEarly},
    {IPPROTO_IPV6, IPV6_FREEBIND, kEarly},
    {IPPROTO_IPV6, IPV6_TRANSPARENT, kEarly},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS},
    {IPPROTO_IPV6, IPV6_MULTICAST_IF},
    {IPPROTO_IPV6, IPV6_MULTICAST_HOPS},
    {IPPROTO_IPV6, IPV6_MULTICAST_LOOP},
    {IPPROTO_IPV6, IPV6_MULTICAST_ALL},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER},
    {IPPROTO_IPV6, IPV6_RECVERR},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT},
    {IPPROTO_IPV6, IPV6_RECVTCLASS},
    {IPPROTO_IPV6, IPV6_TCLASS},
    {IPPROTO_IPV6, IPV6_DONTFRAG},
    {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL},
    {IPPROTO_IPV6, IPV6_ADDR_PREFERENCES},
    {IPPROTO_IPV6, IPV6_MINHOPCOUNT},
    {IPPROTO_IPV6, IPV6_UNICAST_IF},
    {IPPROTO_TCP, TCP_NODELAY},
    {IPPROTO_TCP, TCP_CORK},
    {IPPROTO_TCP, TCP_MAXSEG, kEarly},
    {IPPROTO_TCP, TCP_KEEPIDLE},
    {IPPROTO_TCP, TCP_KEEPINTVL},
    {IPPROTO_TCP, TCP_KEEPCNT},
    {IPPROTO_TCP, TCP_SYNCNT},
    {IPPROTO_TCP, TCP_LINGER2},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, kLate, true},
    {IPPROTO_TCP, TCP_CONGESTION, kLate, true},
    {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, kLate, true},
    {IPPROTO_TCP, TCP_USER_TIMEOUT},
    {IPPROTO_TCP, TCP_FASTOPEN, kLate, true},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, kLate, true},
    {IPPROTO_TCP, TCP_SAVE_SYN},
    {IPPROTO_UDP, UDP_CORK},
    {IPPROTO_UDP, UDP_ENCAP},
    {IPPROTO_UDP, UDP_NO_CHECK6_TX},
    {IPPROTO_UDP, UDP_NO_CHECK6_RX},
    {IPPROTO_UDP, UDP_SEGMENT},
    {IPPROTO_UDP, UDP_GRO},
    {SOL_NETLINK, NETLINK_PKTINFO},
    {SOL_NETLINK, NETLINK_BROADCAST_ERROR},
    {SOL_NETLINK, NETLINK_NO_ENOBUFS},
    {SOL_NETLINK, NETLINK_LISTEN_ALL_NSID},
    {SOL_NETLINK, NETLINK_CAP_ACK},
    {SOL_NETLINK, NETLINK_EXT_ACK},
    {SOL_NETLINK, NETLINK_GET_STRICT_CHK},
    {SOL_SOCKET, SO_LOCK_FILTER},  // after the filter
};

Result<std::string> read_option(const Fd& socket, const Row& row) {
  std::array<char, kMaxValue> value{};
  socklen_t length = value.size();
  if (::getsockopt(socket.get(), row.level, row.name, value.data(), &length) != 0)
    return fail_errno(errno, "getsockopt");
  return std::string(value.data(), length);
}

// Which levels a socket may be asked about: IPPROTO_TCP's numbers mean other things to a UDP socket.
bool level_applies(int level, int domain, int protocol) {
  switch (level) {
    case SOL_SOCKET: return true;
    case IPPROTO_IP: return domain == AF_INET || domain == AF_INET6;
    case IPPROTO_IPV6: return domain == AF_INET6;
    case SOL_NETLINK: return domain == AF_NETLINK;
    default: return (domain == AF_INET || domain == AF_INET6) && protocol == level;
  }
}

Result<void> write_option(const Fd& socket, const Row& row, const std::string& value) {
  if (row.how == How::kBuffer) {
    int size = 0;
    if (value.size() != sizeof(size)) return fail(Code::kCorrupt, "a buffer size that isn't an integer");
    std::memcpy(&size, value.data(), sizeof(size));
    return set_buffer_size(socket, row.name, size);
  }
  if (::setsockopt(socket.get(), row.level, row.name, value.data(), static_cast<socklen_t>(value.size())) != 0) {
    return fail_errno(errno, "setting option " + std::to_string(row.name) + " of level " + std::to_string(row.level));
  }
  return {};
}

Result<void> dump_filter(DumpContext& ctx, const Fd& socket, const std::string& object, pb::SocketOptions& out) {
  socklen_t count = 0;  // asked with 0 it gives the number of instructions
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_GET_FILTER, nullptr, &count) != 0) {
    if (errno == EACCES) ctx.refuse("socket-filter", object);  // eBPF: the kernel keeps no source of it
    return {};
  }
  if (count == 0) return {};
  std::string program(count * sizeof(sock_filter), '\0');
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_GET_FILTER, program.data(), &count) != 0) {
    return fail_errno(errno, "reading a socket filter");
  }
  out.set_filter(std::move(program));
  return {};
}

Result<void> attach_filter(const Fd& socket, const std::string& program) {
  if (program.empty()) return {};
  if (program.size() > kMaxFilter || program.size() % sizeof(sock_filter) != 0) {
    return fail(Code::kCorrupt, "a socket filter of " + std::to_string(program.size()) + " bytes");
  }
  std::vector<sock_filter> code(program.size() / sizeof(sock_filter));
  std::memcpy(code.data(), program.data(), program.size());
  const sock_fprog fprog{static_cast<unsigned short>(code.size()), code.data()};
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &fprog, sizeof(fprog)) != 0) {
    return fail_errno(errno, "attaching a socket filter");
  }
  return {};
}

}  // namespace

Result<int> int_option(const Fd& socket, int level, int name) {
  int value = 0;
  socklen_t length = sizeof(value);
  if (::getsockopt(socket.get(), level, name, &value, &length) != 0) return fail_errno(errno, "getsockopt");
  return value;
}

Result<void> set_int_option(const Fd& socket, int level, int name, int value) {
  if (::setsockopt(socket.get(), level, name, &value, sizeof(value)) != 0) return fail_errno(errno, "setsockopt");
  return {};
}

Result<void> set_buffer_size(const Fd& socket, int name, int value) {
  const int half = value / 2;
  // The forced form may exceed net.core.[rw]mem_max, but not from inside a user namespace (net/core/sock.c).
  if (set_int_option(socket, SOL_SOCKET, name == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE, half)) return {};
  return set_int_option(socket, SOL_SOCKET, name, half);
}

Result<void> dump_socket_options(DumpContext& ctx, const Fd& socket, const std::string& object,
                                 pb::SocketOptions& out) {
  TRY(const int domain, int_option(socket, SOL_SOCKET, SO_DOMAIN));
  TRY(const int protocol, int_option(socket, SOL_SOCKET, SO_PROTOCOL));
  for (const Row& row : kRows) {
    if (!level_applies(row.level, domain, protocol)) continue;
    auto value = read_option(socket, row);
    if (!value) continue;
    auto* option = out.add_options();
    option->set_level(static_cast<uint32_t>(row.level));
    option->set_name(static_cast<uint32_t>(row.name));
    option->set_value(std::move(*value));
  }
  return dump_filter(ctx, socket, object, out);
}

Result<void> restore_socket_options(const Fd& socket, const pb::SocketOptions& options, OptionStage stage) {
  if (stage == OptionStage::kAtEnd) TRY_DO(attach_filter(socket, options.filter()));
  for (const auto& option : options.options()) {
    const auto* row = std::ranges::find_if(kRows, [&](const Row& r) {
      return r.level == static_cast<int>(option.level()) && r.name == static_cast<int>(option.name());
    });
    if (row == std::end(kRows) || option.value().size() > kMaxValue) {
      return fail(Code::kCorrupt, "socket option " + std::to_string(option.name()) + " isn't one that Godwit carries");
    }
    if (row->stage != stage) continue;
    const auto current = read_option(socket, *row);
    if (current && *current == option.value()) continue;
    if (auto set = write_option(socket, *row, option.value()); !set) {
      if (!row->soft) return std::unexpected(set.error());
      log::warn("a socket option isn't allowed here and was left out: {}", set.error().message());
    }
  }
  return {};
}

}  // namespace godwit::pod
