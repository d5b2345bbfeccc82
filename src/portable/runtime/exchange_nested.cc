// Structures whose fields depend on what they say, or that lead to others: see exchange.cc.
#include <asm/errno.h>
#include <asm/siginfo.h>

#include "portable/runtime/exchange.h"

namespace godwit::portable {
namespace {

constexpr uint64_t kMostVectors = 1024;
constexpr uint64_t kMostControl = 4096;
constexpr uint64_t kMostStrings = UINT64_C(1) << 20;
constexpr const char* kHead = "8488884";  // msghdr: name, its length, vectors, how many, control, its length, flags
constexpr long kSocketLevel = 1, kRights = 1, kCredentials = 2;

struct Head {
  uint64_t name;
  uint32_t name_length;
  uint64_t vectors, vector_count, control, control_length;
  uint32_t flags;
};

struct ControlHead {
  uint64_t length;
  uint32_t level, type;
};

template <class T>
T load(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

/// Turns over the heads and the numbers of control messages. `native_first`: `from` is the kernel's.
void turn_control(const char* from, char* to, uint64_t size, bool native_first) {
  memcpy(to, from, size);
  for (uint64_t at = 0; size - at >= sizeof(ControlHead);) {
    turn_fields("844", 1, from + at, to + at);
    const auto head = load<ControlHead>((native_first ? from : to) + at);
    if (head.length < sizeof(ControlHead) || head.length > size - at) return;
    if (head.level == kSocketLevel && (head.type == kRights || head.type == kCredentials)) {
      turn_fields("4", (head.length - sizeof(ControlHead)) / 4, from + at + sizeof(ControlHead),
                  to + at + sizeof(ControlHead));
    }
    const uint64_t step = (head.length + 7) & ~UINT64_C(7);
    if (step > size - at) return;
    at += step;
  }
}

}  // namespace

/// The family is the processor's own number, ports and IP addresses are the network's.
long turn_address(const char* from, char* to, uint64_t length) {
  memcpy(to, from, length);
  if (length < 2) return 0;
  turn_fields("2", 1, from, to);
  // One of both sides is right, and no family is larger.
  const auto family = load<uint16_t>(from) < 256 ? load<uint16_t>(from) : load<uint16_t>(to);
  constexpr uint16_t kInet6 = 10, kNetlink = 16;
  if (family == kInet6 && length >= 28) turn_fields("4", 1, from + 24, to + 24);  // the scope
  if (family == kNetlink && length >= 12) turn_fields("44", 1, from + 4, to + 4);
  return 0;
}

/// Numbers of 4 bytes, but for two that are times.
long turn_option(long level, long name, uint64_t length, const char* from, char* to) {
  constexpr long kReceiveLimit = 20, kSendLimit = 21;  // SO_RCVTIMEO, SO_SNDTIMEO
  if (level == kSocketLevel && (name == kReceiveLimit || name == kSendLimit)) {
    if (length != 16) return -EINVAL;
    turn_fields("88", 1, from, to);
    return 0;
  }
  if (length % 4 || length > 12) return -ENOPROTOOPT;
  turn_fields("4", length / 4, from, to);
  return 0;
}

long turn_strings(uint64_t neutral, uint64_t& native, Scratch& scratch) {
  const auto* list = as_pointer<const Le<uint64_t>*>(neutral);
  uint64_t count = 0;
  while (list[count]) {
    if (++count == kMostStrings) return -E2BIG;
  }
  auto* room = reinterpret_cast<uint64_t*>(scratch.take((count + 1) * 8));
  if (!room) return -ENOMEM;
  for (uint64_t i = 0; i <= count; ++i) room[i] = list[i];
  native = reinterpret_cast<uint64_t>(room);
  return 0;
}

/// What follows the first three numbers depends on who has sent the signal.
void turn_info(const char* from, char* to, bool from_native) {
  memcpy(to, from, sizeof(KernelInfo));
  turn_fields("444", 1, from, to);
  const auto& info = *reinterpret_cast<const KernelInfo*>(from_native ? from : to);
  constexpr int kChild = 17, kPoll = 29, kIllegal = 4, kBus = 7, kFloat = 8, kSegment = 11, kTrap = 5;
  const char* fields = "4484";  // pid, uid, a value or a child's status, a timer
  if (info.code > 0) {
    switch (info.signo) {
      case kChild: fields = "44488"; break;
      case kPoll: fields = "84"; break;
      case kIllegal:
      case kBus:
      case kFloat:
      case kSegment:
      case kTrap: fields = "82"; break;
      default: break;
    }
  }
  turn_fields(fields, 1, from + 16, to + 16);
}

long turn_message(const Call& neutral, uint64_t neutral_message, char* native, Scratch& scratch) {
  const bool sends = neutral.number == 211;
  turn_fields(kHead, 1, as_pointer<const char*>(neutral_message), native);
  auto& head = *reinterpret_cast<Head*>(native);
  if (head.vector_count > kMostVectors) return -EMSGSIZE;
  if (head.control_length > kMostControl || head.name_length > 128) return -ENOBUFS;
  char* vectors = scratch.take(head.vector_count * 16);
  char* name = scratch.take(head.name_length);
  char* control = scratch.take(head.control_length);
  if (!vectors || !name || !control) return -ENOMEM;
  turn_fields("88", head.vector_count, as_pointer<const char*>(head.vectors), vectors);
  head.vectors = reinterpret_cast<uint64_t>(vectors);
  if (head.name) {
    if (sends) turn_address(as_pointer<const char*>(head.name), name, head.name_length);
    head.name = reinterpret_cast<uint64_t>(name);
  }
  if (head.control) {
    if (sends) turn_control(as_pointer<const char*>(head.control), control, head.control_length, false);
    head.control = reinterpret_cast<uint64_t>(control);
  }
  return 0;
}

/// What recvmsg has received.
void take_message_back(uint64_t neutral_message, const char* native) {
  char* memory = as_pointer<char*>(neutral_message);
  alignas(8) char neutral[sizeof(Head)];
  turn_fields(kHead, 1, memory, neutral);
  auto& before = *reinterpret_cast<Head*>(neutral);
  const auto& head = *reinterpret_cast<const Head*>(native);
  if (before.name) {
    const uint64_t room = head.name_length < before.name_length ? head.name_length : before.name_length;
    turn_address(as_pointer<const char*>(head.name), as_pointer<char*>(before.name), room);
  }
  if (before.control)
    turn_control(as_pointer<const char*>(head.control), as_pointer<char*>(before.control), head.control_length, true);
  before.name_length = head.name_length;
  before.control_length = head.control_length;
  before.flags = head.flags;
  turn_fields(kHead, 1, neutral, memory);
}

}  // namespace godwit::portable
