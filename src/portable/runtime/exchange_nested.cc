// Structures whose fields depend on what they say, or that lead to others: see exchange.cc.
#include <asm/errno.h>
#include <asm/siginfo.h>

#include "portable/runtime/exchange.h"

namespace godwit::portable {
namespace {

constexpr uint64_t kMostVectors = 1024;
constexpr uint64_t kMostControl = 4096;
constexpr uint64_t kMostStrings = UINT64_C(1) << 20;
constexpr const char* kHead = "p4pLpL4";  // msghdr: name, its length, vectors, how many, control, its length, flags
constexpr const char* kControlHead = "L44";  // cmsghdr: its length, level, type
constexpr int64_t kSocketLevel = 1;
constexpr uint32_t kRights = 1, kCredentials = 2;

/// The kernel's msghdr.
struct Head {
  unsigned long name;
  uint32_t name_length;
  unsigned long vectors, vector_count, control, control_length;
  uint32_t flags;
};

struct ControlHead {
  unsigned long length;
  uint32_t level, type;
};

/// The same as neutral memory has it.
struct NeutralHead {
  Le<uint64_t> name;
  Le<uint32_t> name_length;
  Le<uint64_t> vectors, vector_count, control, control_length;
  Le<uint32_t> flags;
};

template <class T>
T load(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

uint64_t up(uint64_t size, uint64_t to) { return (size + to - 1) / to * to; }

uint64_t neutral_length(const char* from, To side) {
  return side == To::kNative ? +load<Le<uint64_t>>(from) : load<ControlHead>(from).length;
}

/// Control messages, one after the other: their heads, and the numbers in them. How many bytes they have on the other side.
uint64_t carry_control(const char* from, uint64_t size, char* to, uint64_t room, To side) {
  const To other = side == To::kNative ? To::kNeutral : To::kNative;
  const uint64_t from_head = size_of(kControlHead, other), to_head = size_of(kControlHead, side);
  const uint64_t from_step = side == To::kNative ? 8 : sizeof(long), to_step = side == To::kNative ? sizeof(long) : 8;
  uint64_t at = 0, done = 0;
  while (size - at >= from_head) {
    const uint64_t length = neutral_length(from + at, side);
    if (length < from_head || length > size - at) break;
    const uint64_t content = length - from_head;
    if (room - done < to_head + content) break;
    carry(kControlHead, 1, from + at, to + done, side);
    const auto type = side == To::kNative ? load<ControlHead>(to + done).type : load<ControlHead>(from + at).type;
    if (type == kRights || type == kCredentials) {
      carry("4", content / 4, from + at + from_head, to + done + to_head, side);
    } else {
      memcpy(to + done + to_head, from + at + from_head, content);
    }
    if (side == To::kNative) {
      const unsigned long native_length = static_cast<unsigned long>(to_head + content);
      memcpy(to + done, &native_length, sizeof native_length);
    } else {
      const Le<uint64_t> neutral = to_head + content;
      memcpy(to + done, &neutral, sizeof neutral);
    }
    const uint64_t step = up(length, from_step);
    done += up(to_head + content, to_step);
    if (done > room) done = room;
    if (step > size - at) break;
    at += step;
  }
  return done;
}

}  // namespace

/// The family is the processor's own number, ports and IP addresses are the network's.
long carry_address(const char* from, char* to, uint64_t length, To side) {
  memcpy(to, from, length);
  if (length < 2) return 0;
  carry("2", 1, from, to, side);
  const auto family = load<uint16_t>(side == To::kNative ? to : from);
  constexpr uint16_t kInet6 = 10, kNetlink = 16;
  if (family == kInet6 && length >= 28) carry("4", 1, from + 24, to + 24, side);  // the scope
  if (family == kNetlink && length >= 12) carry("44", 1, from + 4, to + 4, side);
  return 0;
}

namespace {

constexpr const char* kLimit = "ll";

bool is_limit(int64_t level, int64_t name) {
  constexpr int64_t kReceiveLimit = 20, kSendLimit = 21;  // SO_RCVTIMEO, SO_SNDTIMEO
  return level == kSocketLevel && (name == kReceiveLimit || name == kSendLimit);
}

}  // namespace

uint64_t native_option_size(int64_t level, int64_t name, uint64_t length) {
  return is_limit(level, name) && length == size_of(kLimit, To::kNeutral) ? size_of(kLimit, To::kNative) : length;
}

namespace {

/// Of options that have Internet addresses: how many bytes of them come first, in the network's order. A number may follow.
uint64_t address_bytes(int64_t level, int64_t name, uint64_t length) {
  constexpr int64_t kIp = 0, kIpv6 = 41;
  if (level == kIpv6 && (name == 20 || name == 21)) return 16;  // IPV6_JOIN_GROUP, IPV6_LEAVE_GROUP
  if (level != kIp) return 0;
  if (name == 32 || name == 35 || name == 36)
    return length < 8 ? length : 8;  // IP_MULTICAST_IF, IP_ADD_, IP_DROP_MEMBERSHIP
  return name >= 37 && name <= 40 ? length : 0;  // those of sources
}

}  // namespace

/// Numbers of 4 bytes, but for two that are times, and Internet addresses.
long carry_option(int64_t level, int64_t name, uint64_t length, const char* from, char* to, To side) {
  if (is_limit(level, name)) {
    if (length != size_of(kLimit, To::kNeutral)) return -EINVAL;
    return carry(kLimit, 1, from, to, side) ? 0 : -EDOM;
  }
  if (length % 4 || length > 20) return -ENOPROTOOPT;
  const uint64_t addresses = address_bytes(level, name, length);
  if (length > 12 && !addresses) return -ENOPROTOOPT;
  if (addresses > length) return -EINVAL;
  memcpy(to, from, addresses);
  carry("4", (length - addresses) / 4, from + addresses, to + addresses, side);
  return 0;
}

long strings_to_native(uint64_t neutral, uint64_t& native, Scratch& scratch) {
  const auto* list = as_pointer<const Le<uint64_t>*>(neutral);
  uint64_t count = 0;
  while (list[count]) {
    if (++count == kMostStrings) return -E2BIG;
  }
  auto* room = reinterpret_cast<unsigned long*>(scratch.take((count + 1) * sizeof(long)));
  if (!room) return -ENOMEM;
  for (uint64_t i = 0; i <= count; ++i) room[i] = static_cast<unsigned long>(list[i]);
  native = reinterpret_cast<unsigned long>(room);
  return 0;
}

/// What follows the first three numbers depends on who has sent the signal.
void carry_info(const char* from, char* to, To side) {
  constexpr uint64_t kNativeRest = sizeof(long) == 8 ? 16 : 12;
  constexpr int kChild = 17, kPoll = 29, kIllegal = 4, kBus = 7, kFloat = 8, kSegment = 11, kTrap = 5;
  memset(to, 0, sizeof(KernelInfo));
  carry("444", 1, from, to, side);
  const auto& info = *reinterpret_cast<const KernelInfo*>(side == To::kNative ? to : from);
  const char* fields = "44l";  // pid, uid, a value
  if (info.code > 0) {
    switch (info.signo) {
      case kChild: fields = "444ll"; break;
      case kPoll: fields = "l4"; break;
      case kIllegal:
      case kBus:
      case kFloat:
      case kSegment:
      case kTrap: fields = "p2"; break;
      default: break;
    }
  }
  const bool native = side == To::kNative;
  carry(fields, 1, from + (native ? 16 : kNativeRest), to + (native ? kNativeRest : 16), side);
}

long message_to_native(const Call& neutral, uint64_t neutral_message, char* native, Scratch& scratch) {
  const bool sends = neutral.number == 211;
  if (!carry(kHead, 1, as_pointer<const char*>(neutral_message), native, To::kNative)) return -EMSGSIZE;
  auto& head = *reinterpret_cast<Head*>(native);
  if (head.vector_count > kMostVectors) return -EMSGSIZE;
  if (head.control_length > kMostControl || head.name_length > 128) return -ENOBUFS;
  char* vectors = scratch.take(head.vector_count * 16);
  char* name = scratch.take(head.name_length);
  char* control = scratch.take(head.control_length);
  if (!vectors || !name || !control) return -ENOMEM;
  if (!carry("pL", head.vector_count, as_pointer<const char*>(head.vectors), vectors, To::kNative)) return -EMSGSIZE;
  head.vectors = reinterpret_cast<unsigned long>(vectors);
  if (head.name) {
    if (sends) carry_address(as_pointer<const char*>(head.name), name, head.name_length, To::kNative);
    head.name = reinterpret_cast<unsigned long>(name);
  }
  if (head.control) {
    if (sends) {
      head.control_length = static_cast<unsigned long>(carry_control(
          as_pointer<const char*>(head.control), head.control_length, control, head.control_length, To::kNative));
    }
    head.control = reinterpret_cast<unsigned long>(control);
  }
  return 0;
}

/// What recvmsg has received.
void message_to_neutral(uint64_t neutral_message, const char* native) {
  auto& neutral = *as_pointer<NeutralHead*>(neutral_message);
  const auto& head = *reinterpret_cast<const Head*>(native);
  if (neutral.name) {
    const uint32_t room = neutral.name_length;
    carry_address(as_pointer<const char*>(head.name), as_pointer<char*>(neutral.name),
                  head.name_length < room ? head.name_length : room, To::kNeutral);
  }
  if (neutral.control) {
    neutral.control_length = carry_control(as_pointer<const char*>(head.control), head.control_length,
                                           as_pointer<char*>(neutral.control), neutral.control_length, To::kNeutral);
  } else {
    neutral.control_length = 0;
  }
  neutral.name_length = head.name_length;
  neutral.flags = head.flags;
}

}  // namespace godwit::portable
