// Options of sockets. Carried is what a new socket of the same kind has otherwise, so that defaults stay those of the machine.
//
// To add one: a row. Their numbers are the same on all architectures that we have; one that a kernel, or an emulator, doesn't have
// can't have been set either.
#include "portable/runtime/descriptors.h"

namespace godwit::portable {
namespace {

enum class Form : uint8_t { kNumber, kBuffer, kTime, kLinger };
struct Row {
  int16_t level, name;
  bool before_bind = false;
  Form form = Form::kNumber;
};

constexpr int kSocketLevel = 1, kIp = 0, kTcp = 6, kUdp = 17, kIpv6 = 41;
constexpr uint32_t kInet = 2, kInet6 = 10;

constexpr Row kRows[] = {
    {kSocketLevel, 2, true},  // SO_REUSEADDR
    {kSocketLevel, 15, true},  // SO_REUSEPORT
    {kSocketLevel, 36, true},  // SO_MARK
    {kSocketLevel, 7, false, Form::kBuffer},  // SO_SNDBUF
    {kSocketLevel, 8, false, Form::kBuffer},  // SO_RCVBUF
    {kSocketLevel, 5},  // SO_DONTROUTE
    {kSocketLevel, 6},  // SO_BROADCAST
    {kSocketLevel, 9},  // SO_KEEPALIVE
    {kSocketLevel, 10},  // SO_OOBINLINE
    {kSocketLevel, 13, false, Form::kLinger},  // SO_LINGER
    {kSocketLevel, 16},  // SO_PASSCRED
    {kSocketLevel, 18},  // SO_RCVLOWAT
    {kSocketLevel, 20, false, Form::kTime},  // SO_RCVTIMEO
    {kSocketLevel, 21, false, Form::kTime},  // SO_SNDTIMEO
    {kSocketLevel, 42},  // SO_PEEK_OFF
    {kSocketLevel, 46},  // SO_BUSY_POLL
    {kIp, 15, true},  // IP_FREEBIND
    {kIp, 19, true},  // IP_TRANSPARENT
    {kIp, 24, true},  // IP_BIND_ADDRESS_NO_PORT
    {kIp, 1},  // IP_TOS, which sets SO_PRIORITY, too
    {kIp, 2},  // IP_TTL
    {kIp, 8},  // IP_PKTINFO
    {kIp, 10},  // IP_MTU_DISCOVER
    {kIp, 11},  // IP_RECVERR
    {kIp, 12},  // IP_RECVTTL
    {kIp, 13},  // IP_RECVTOS
    {kIp, 21},  // IP_MINTTL
    {kIp, 33},  // IP_MULTICAST_TTL
    {kIp, 34},  // IP_MULTICAST_LOOP
    {kSocketLevel, 12},  // SO_PRIORITY
    {kIpv6, 26, true},  // IPV6_V6ONLY
    {kIpv6, 78, true},  // IPV6_FREEBIND
    {kIpv6, 75, true},  // IPV6_TRANSPARENT
    {kIpv6, 16},  // IPV6_UNICAST_HOPS
    {kIpv6, 18},  // IPV6_MULTICAST_HOPS
    {kIpv6, 19},  // IPV6_MULTICAST_LOOP
    {kIpv6, 23},  // IPV6_MTU_DISCOVER
    {kIpv6, 25},  // IPV6_RECVERR
    {kIpv6, 49},  // IPV6_RECVPKTINFO
    {kIpv6, 51},  // IPV6_RECVHOPLIMIT
    {kIpv6, 66},  // IPV6_RECVTCLASS
    {kIpv6, 67},  // IPV6_TCLASS
    {kTcp, 2, true},  // TCP_MAXSEG
    {kTcp, 1},  // TCP_NODELAY
    {kTcp, 3},  // TCP_CORK
    {kTcp, 4},  // TCP_KEEPIDLE
    {kTcp, 5},  // TCP_KEEPINTVL
    {kTcp, 6},  // TCP_KEEPCNT
    {kTcp, 7},  // TCP_SYNCNT
    {kTcp, 8},  // TCP_LINGER2
    {kTcp, 9},  // TCP_DEFER_ACCEPT
    {kTcp, 18},  // TCP_USER_TIMEOUT
    {kTcp, 23},  // TCP_FASTOPEN
    {kTcp, 25},  // TCP_NOTSENT_LOWAT
    {kUdp, 101},  // UDP_NO_CHECK6_TX
    {kUdp, 102},  // UDP_NO_CHECK6_RX
    {kUdp, 104},  // UDP_GRO
};
constexpr uint32_t kRowCount = sizeof kRows / sizeof kRows[0];
static_assert(kRowCount <= GODWIT_IMAGE_OPTIONS_MAX);

/// What a new socket of a kind has. A kind is asked for once in a save, in which each option of each socket takes a system call.
struct Usual {
  uint32_t domain, type, protocol;
  bool there[kRowCount];
  godwit_image_option options[kRowCount];
};
Usual usual_kinds[8];  // one more than there are kinds
uint32_t usual_count;

bool applies(const Row& row, const godwit_image_socket& kind) {
  switch (row.level) {
    case kSocketLevel: return true;
    case kIp: return kind.domain == kInet;
    case kIpv6: return kind.domain == kInet6;
    default:
      return (kind.domain == kInet || kind.domain == kInet6) && kind.protocol == static_cast<uint32_t>(row.level);
  }
}

bool read_option(int fd, const Row& row, godwit_image_option& out) {
  long time[2] = {};
  uint32_t numbers[2] = {};
  void* room = row.form == Form::kTime ? static_cast<void*>(time) : numbers;
  const uint32_t wanted = row.form == Form::kTime ? sizeof time : row.form == Form::kLinger ? 8 : 4;
  uint32_t size = wanted;
  if (failed(sys(__NR_getsockopt, fd, row.level, row.name, room, &size)) || size != wanted) return false;
  const bool is_time = row.form == Form::kTime;
  out.level = static_cast<uint32_t>(row.level);
  out.name = static_cast<uint32_t>(row.name);
  out.value = is_time ? static_cast<uint64_t>(time[0]) : numbers[0];
  out.more = is_time ? static_cast<uint64_t>(time[1]) : numbers[1];
  return true;
}

long write_option(int fd, const Row& row, const godwit_image_option& option) {
  const long time[2] = {static_cast<long>(option.value), static_cast<long>(option.more)};
  const uint32_t numbers[2] = {static_cast<uint32_t>(option.value), static_cast<uint32_t>(option.more)};
  const uint32_t half = numbers[0] / 2;  // the kernel doubles what it is told
  switch (row.form) {
    case Form::kTime: return sys(__NR_setsockopt, fd, row.level, row.name, time, sizeof time);
    case Form::kLinger: return sys(__NR_setsockopt, fd, row.level, row.name, numbers, sizeof numbers);
    case Form::kBuffer: return sys(__NR_setsockopt, fd, row.level, row.name, &half, sizeof half);
    default: return sys(__NR_setsockopt, fd, row.level, row.name, numbers, sizeof numbers[0]);
  }
}

/// Null: there can't be a new socket.
const Usual* usual_options(const godwit_image_socket& kind) {
  for (uint32_t i = 0; i < usual_count; ++i) {
    const Usual& row = usual_kinds[i];
    if (row.domain == kind.domain && row.type == kind.type && row.protocol == kind.protocol) return &row;
  }
  const long fresh = sys(__NR_socket, +kind.domain, +kind.type, +kind.protocol);
  if (failed(fresh)) return nullptr;
  if (usual_count == sizeof usual_kinds / sizeof usual_kinds[0]) usual_count = 0;
  Usual& row = usual_kinds[usual_count++];
  row.domain = kind.domain;
  row.type = kind.type;
  row.protocol = kind.protocol;
  for (uint32_t i = 0; i < kRowCount; ++i) {
    row.there[i] = applies(kRows[i], kind) && read_option(static_cast<int>(fresh), kRows[i], row.options[i]);
  }
  sys(__NR_close, fresh);
  return &row;
}

const Row* row_of(const godwit_image_option& option) {
  for (const Row& row : kRows) {
    if (static_cast<uint32_t>(row.level) == option.level && static_cast<uint32_t>(row.name) == option.name) return &row;
  }
  return nullptr;
}

}  // namespace

void forget_usual_options() { usual_count = 0; }

int read_options(int fd, const godwit_image_socket& kind, godwit_image_option* out) {
  const Usual* usual = usual_options(kind);
  if (!usual) return -1;
  int count = 0;
  for (uint32_t i = 0; i < kRowCount; ++i) {
    godwit_image_option mine;
    if (!usual->there[i] || !read_option(fd, kRows[i], mine)) continue;
    if (mine.value != usual->options[i].value || mine.more != usual->options[i].more) out[count++] = mine;
  }
  return count;
}

bool set_options(int fd, const SocketImage& image, bool before_bind, Line& why) {
  for (uint32_t i = 0; i < image.socket.options; ++i) {
    const godwit_image_option& option = image.options[i];
    const Row* row = row_of(option);
    const bool known = row && applies(*row, image.socket);
    if (known && row->before_bind != before_bind) continue;
    const long error = known ? write_option(fd, *row, option) : -92 /* ENOPROTOOPT */;
    if (!failed(error)) continue;
    why << "has option " << option.name << " of level " << option.level << ", which can't be set here (error " << -error
        << ")";
    return false;
  }
  return true;
}

}  // namespace godwit::portable
