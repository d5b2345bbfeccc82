// timerfds. What the unit calls its monotonic time goes on over a move, so what a timer has left is what it has left of that; only a
// moment of the day is one everywhere.
//
// A timer whose expirations weren't read yet is set to a moment so long ago that there are as many: the kernel counts those of an
// interval when somebody asks. They are armed behind the commit, when it is known how far this machine's clock is from the unit's.
#include <linux/fcntl.h>
#include <linux/time.h>

#include "portable/runtime/descriptors.h"
#include "portable/runtime/info.h"

namespace godwit::portable {
namespace {

constexpr uint64_t kAbsolute = 1, kCancelled = 2;
constexpr long kSetTicks = 0x40085400;  // TFD_IOC_SET_TICKS
constexpr int kMostLooks = 1000;

struct Setting {
  Timespec interval, value;
};

Timespec timespec_of(int64_t nanoseconds) { return {nanoseconds / kSecond, nanoseconds % kSecond}; }
int64_t nanoseconds(const Timespec& time) { return time.seconds * kSecond + time.nanoseconds; }

bool is_of_the_day(uint64_t clock, uint64_t flags) { return !from_boot(static_cast<long>(clock)) && flags & kAbsolute; }

/// What fdinfo says, of one moment.
struct Seen {
  uint64_t clock = 0, ticks = 0, flags = 0;
  bool complete = false;
};

Seen look_at(int fd) {
  Seen seen;
  int fields = 0;
  for_each_info_line(fd, [&](const char* line) {
    fields += info_field(line, "clockid:", 10, seen.clock);
    fields += info_field(line, "ticks:", 10, seen.ticks);
    fields += info_field(line, "settime flags:", 8, seen.flags);
    return true;
  });
  seen.complete = fields == 3;
  return seen;
}

/// Asking for the time left makes the kernel count what an interval has brought meanwhile. Nothing may expire between that and the look
/// at the count, or it would be counted and still be due.
bool read_both(int fd, Seen& seen, Setting& setting) {
  for (int i = 0; i < kMostLooks; ++i) {
    Setting before;
    if (failed(sys(__NR_timerfd_gettime, fd, &before))) return false;
    seen = look_at(fd);
    if (!seen.complete || failed(sys(__NR_timerfd_gettime, fd, &setting))) return false;
    if (look_at(fd).ticks != seen.ticks) continue;
    const int64_t left = nanoseconds(setting.value);
    const bool is_off = !left && !nanoseconds(before.value);
    const bool is_over = !nanoseconds(setting.interval) && seen.ticks;
    if (left || is_off || is_over) return true;
  }
  return false;
}

/// A timer that isn't armed looks like one that is just due, for the few microseconds that an interrupt takes.
bool is_just_due(int fd) {
  struct {
    int fd;
    int16_t events, found;
  } look = {fd, 1, 0};
  const Timespec soon = {0, 50000};
  return sys(__NR_ppoll, &look, 1, &soon, nullptr, 8) > 0;
}

}  // namespace

bool read_timer(int fd, godwit_image_timer& out, Line& why) {
  Seen seen;
  Setting setting = {};
  bool well = read_both(fd, seen, setting);
  if (well && !nanoseconds(setting.value) && !seen.ticks && is_just_due(fd)) well = read_both(fd, seen, setting);
  if (!well) {
    why << "is a timerfd that can't be read, or expires too often for that";
    return false;
  }
  const int64_t left = nanoseconds(setting.value);
  const int64_t now = is_of_the_day(seen.clock, seen.flags) ? native_clock(CLOCK_REALTIME)
                                                            : native_clock(CLOCK_MONOTONIC) + header().monotonic_offset;
  out.clock = static_cast<uint32_t>(seen.clock);
  out.flags = static_cast<uint32_t>(seen.flags);
  out.interval = static_cast<uint64_t>(nanoseconds(setting.interval));
  out.due = left ? static_cast<uint64_t>(left < INT64_MAX - now ? now + left : INT64_MAX) : 0;
  out.ticks = seen.ticks;
  return true;
}

bool make_timer(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  if (kBigEndian) {
    why << "descriptor " << descriptor.fd
        << " is a timerfd, of which a program would read the number with its bytes turned over here";
    return false;
  }
  const auto& timer = *reinterpret_cast<const godwit_image_timer*>(detail);
  const long made = sys(__NR_timerfd_create, +timer.clock, 0);
  if (!failed(made) && place(static_cast<int>(made), descriptor)) {
    set_flags(descriptor);
    return true;
  }
  why << "descriptor " << descriptor.fd << " can't be made a timerfd of clock " << timer.clock << " here (error "
      << (failed(made) ? -made : 0) << ")";
  return false;
}

bool arm_timer(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  const auto& timer = *reinterpret_cast<const godwit_image_timer*>(detail);
  const auto fd = static_cast<int>(descriptor.fd);
  const auto due = static_cast<int64_t>(+timer.due), interval = static_cast<int64_t>(+timer.interval);
  const auto ticks = static_cast<int64_t>(+timer.ticks);
  if (!due && !ticks && !interval) return true;
  const bool of_the_day = is_of_the_day(timer.clock, timer.flags);
  const int64_t now = native_clock(static_cast<int>(timer.clock));
  int64_t first = due;  // on the timer's own clock
  if (!due) {
    first = ticks;  // long ago, and once; or it is off
  } else if (!of_the_day) {
    const int64_t unit_now = native_clock(CLOCK_MONOTONIC) + header().monotonic_offset;
    const int64_t left = due > unit_now ? due - unit_now : 1;
    first = left < INT64_MAX - now ? now + left : INT64_MAX;
  }
  const bool counts = !ticks || !interval || ticks < (first - 1) / interval;  // since the clock began
  if (counts && interval) first -= ticks * interval;
  const Setting setting = {timespec_of(interval), timespec_of(first)};
  long error =
      sys(__NR_timerfd_settime, fd, kAbsolute | (of_the_day ? timer.flags & kCancelled : 0), &setting, nullptr);
  const auto exact = static_cast<uint64_t>(ticks);
  if (!failed(error) && !counts) error = sys(__NR_ioctl, fd, kSetTicks, &exact);
  if (!failed(error)) return true;
  why << "descriptor " << fd << " is a timerfd that can't be set as it was (error " << -error << ")";
  return false;
}

int64_t call_timerfd_settime(Call& call) {
  const auto* wanted = reinterpret_cast<const Setting*>(call.a[2]);
  const int64_t offset = header().monotonic_offset;
  if (!(static_cast<uint64_t>(call.a[1]) & kAbsolute) || !offset || !wanted) return pass(call);
  uint64_t clock = 0;
  if (!read_info_field(static_cast<int>(call.a[0]), "clockid:", 10, clock) || !from_boot(static_cast<long>(clock)))
    return pass(call);
  Setting native = *wanted;
  const Timespec& value = wanted->value;
  const bool is_moment = value.seconds >= 0 && value.nanoseconds >= 0 && value.nanoseconds < kSecond;
  if (is_moment && (value.seconds || value.nanoseconds) && value.seconds < INT64_MAX / kSecond) {
    const int64_t at = nanoseconds(value) - offset;
    native.value = timespec_of(at > 0 ? at : 1);  // zero would mean that it is off
  }
  return sys(call.native, call.a[0], call.a[1], &native, call.a[3]);
}

}  // namespace godwit::portable
