// Time that goes on smoothly.
//
// Clocks that count from a boot (MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME) differ from host to host. The header
// keeps an offset that is added to what the kernel says, chosen at each restore so that the clock goes on from where it
// stood when the image was written: the time on the way doesn't count, as if the machine had slept. CPU clocks likewise,
// one offset for the process and one a thread. Absolute deadlines on these clocks are translated when a call is issued, so
// one that is issued again elsewhere waits for the same moment of the unit's time. CLOCK_REALTIME is the host's.
#include <asm/errno.h>
#include <linux/futex.h>
#include <linux/time.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

constexpr int64_t kForEver = INT64_MAX;

int64_t offset_of(long clock) {
  if (from_boot(clock)) return header().monotonic_offset;
  if (clock == CLOCK_PROCESS_CPUTIME_ID) return header().cpu_offset;
  if (clock == CLOCK_THREAD_CPUTIME_ID) return current().cpu_offset;
  return 0;
}

bool valid(const Timespec& time) { return time.seconds >= 0 && time.nanoseconds >= 0 && time.nanoseconds < kSecond; }

int64_t nanoseconds(const Timespec& time) {
  return time.seconds >= kForEver / kSecond ? kForEver : time.seconds * kSecond + time.nanoseconds;
}

Timespec timespec_of(int64_t nanoseconds) { return {nanoseconds / kSecond, nanoseconds % kSecond}; }

/// A moment of a neutral clock on the native one. Moments before the native clock began are its beginning.
Timespec native_moment(const Timespec& moment, int64_t offset) {
  const int64_t at = nanoseconds(moment);
  if (at == kForEver) return moment;
  return timespec_of(at > offset ? at - offset : 0);
}

}  // namespace

bool from_boot(long clock) {
  return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE ||
         clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM;
}

int64_t native_clock(int clock) {
  Timespec now = {};
  read_clock(clock, &now);
  return now.seconds * kSecond + now.nanoseconds;
}

void clocks_before_save() {
  Header& head = header();
  head.saved_monotonic = native_clock(CLOCK_MONOTONIC) + head.monotonic_offset;
  head.saved_cpu = native_clock(CLOCK_PROCESS_CPUTIME_ID) + head.cpu_offset;
}

void clocks_after_restore() {
  Header& head = header();
  head.monotonic_offset = head.saved_monotonic - native_clock(CLOCK_MONOTONIC);
  head.cpu_offset = head.saved_cpu - native_clock(CLOCK_PROCESS_CPUTIME_ID);
  for (Thread& thread : head.threads) {
    if (thread.number) thread.cpu_offset = thread.saved_cpu;
  }
}

int64_t call_clock_gettime(Call& call) {
  const long result = read_clock(static_cast<int>(call.a[0]), reinterpret_cast<Timespec*>(call.a[1]));
  if (failed(result)) return result;
  if (const int64_t offset = offset_of(call.a[0])) {
    auto* time = reinterpret_cast<Timespec*>(call.a[1]);
    *time = timespec_of(time->seconds * kSecond + time->nanoseconds + offset);
  }
  return result;
}

namespace {

long sleep_for(Call& call, long clock, const Timespec& time, Timespec* rest) {
  if (!valid(time)) return -EINVAL;
  const long result = wait_at_most(
      call, nanoseconds(time), [&](Timespec* left) { return sys_wait(__NR_clock_nanosleep, clock, 0, left, nullptr); });
  if (result == -EINTR && rest) *rest = timespec_of(call.left);
  return result;
}

}  // namespace

int64_t call_nanosleep(Call& call) {
  return sleep_for(call, CLOCK_MONOTONIC, *reinterpret_cast<const Timespec*>(call.a[0]),
                   reinterpret_cast<Timespec*>(call.a[1]));
}

int64_t call_clock_nanosleep(Call& call) {
  const auto& time = *reinterpret_cast<const Timespec*>(call.a[2]);
  constexpr long kAbsolute = 1;
  if (!(call.a[1] & kAbsolute)) return sleep_for(call, call.a[0], time, reinterpret_cast<Timespec*>(call.a[3]));
  if (!valid(time)) return -EINVAL;
  const Timespec moment = native_moment(time, offset_of(call.a[0]));
  return wait(call, call.a[0], call.a[1], reinterpret_cast<long>(&moment), 0, 0, 0);
}

/// Words that hold a thread's number (priority inheritance) would need the kernel's numbers, which change: a C library that
/// is refused them does without. The kernel compares a word with a value as the processor sees it: the bytes of both are turned over.
int64_t call_futex(Call& call) {
  const long command = call.a[1] & FUTEX_CMD_MASK;
  const auto* limit = reinterpret_cast<const Timespec*>(call.a[3]);
  auto value = static_cast<uint32_t>(call.a[2]);
  switch (command) {
    case FUTEX_WAIT:
      value = turned(value);
      if (limit && !valid(*limit)) return -EINVAL;
      return wait_at_most(call, limit ? nanoseconds(*limit) : -1, [&](Timespec* left) {
        return sys_wait(__NR_futex, call.a[0], call.a[1], value, left, call.a[4], call.a[5]);
      });
    case FUTEX_WAIT_BITSET: {
      value = turned(value);
      if (!limit) return wait(call, call.a[0], call.a[1], value, 0, call.a[4], call.a[5]);
      if (!valid(*limit)) return -EINVAL;
      const bool realtime = call.a[1] & FUTEX_CLOCK_REALTIME;
      const Timespec moment = native_moment(*limit, realtime ? 0 : +header().monotonic_offset);
      return wait(call, call.a[0], call.a[1], value, reinterpret_cast<long>(&moment), call.a[4], call.a[5]);
    }
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
    case FUTEX_REQUEUE: return pass(call);
    case FUTEX_CMP_REQUEUE: call.a[5] = turned(static_cast<uint32_t>(call.a[5])); return pass(call);
    case FUTEX_WAKE_OP: return kBigEndian ? -ENOSYS : pass(call);  // the kernel would compute with the word
    default: return -ENOSYS;
  }
}

}  // namespace godwit::portable
