// Calls on files whose flags or structures differ between architectures, and those that wait for files.
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/eventpoll.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

// aarch64 has its own values for these four; the neutral ones are asm-generic's.
struct FlagPair {
  long neutral, native;
};
constexpr FlagPair kFlags[] = {
    {00040000, O_DIRECT}, {00100000, O_LARGEFILE}, {00200000, O_DIRECTORY}, {00400000, O_NOFOLLOW}};

long translate_flags(long flags, bool to_native) {
  long result = flags;
  for (const auto& pair : kFlags) result &= ~(to_native ? pair.neutral : pair.native);
  for (const auto& pair : kFlags) {
    if (flags & (to_native ? pair.neutral : pair.native)) result |= to_native ? pair.native : pair.neutral;
  }
  return result;
}

[[maybe_unused]] NeutralStat from_stat(const struct stat& native) {
  return {.dev = native.st_dev,
          .ino = native.st_ino,
          .mode = native.st_mode,
          .nlink = static_cast<uint32_t>(native.st_nlink),
          .uid = native.st_uid,
          .gid = native.st_gid,
          .rdev = native.st_rdev,
          .padding = 0,
          .size = static_cast<int64_t>(native.st_size),
          .block_size = static_cast<int32_t>(native.st_blksize),
          .padding2 = 0,
          .blocks = static_cast<int64_t>(native.st_blocks),
          .access = {static_cast<int64_t>(native.st_atime), static_cast<int64_t>(native.st_atime_nsec)},
          .modification = {static_cast<int64_t>(native.st_mtime), static_cast<int64_t>(native.st_mtime_nsec)},
          .change = {static_cast<int64_t>(native.st_ctime), static_cast<int64_t>(native.st_ctime_nsec)},
          .unused = {}};
}

uint64_t device(uint32_t major, uint32_t minor) { return (minor & 0xff) | major << 8 | uint64_t{minor & ~0xffu} << 12; }

[[maybe_unused]] NeutralStat from_statx(const struct statx& native) {
  const auto time = [](const statx_timestamp& t, int64_t(&to)[2]) {
    to[0] = t.tv_sec;
    to[1] = t.tv_nsec;
  };
  NeutralStat neutral = {.dev = device(native.stx_dev_major, native.stx_dev_minor),
                         .ino = native.stx_ino,
                         .mode = native.stx_mode,
                         .nlink = native.stx_nlink,
                         .uid = native.stx_uid,
                         .gid = native.stx_gid,
                         .rdev = device(native.stx_rdev_major, native.stx_rdev_minor),
                         .padding = 0,
                         .size = static_cast<int64_t>(native.stx_size),
                         .block_size = static_cast<int32_t>(native.stx_blksize),
                         .padding2 = 0,
                         .blocks = static_cast<int64_t>(native.stx_blocks),
                         .access = {},
                         .modification = {},
                         .change = {},
                         .unused = {}};
  time(native.stx_atime, neutral.access);
  time(native.stx_mtime, neutral.modification);
  time(native.stx_ctime, neutral.change);
  return neutral;
}

/// epoll_event of the neutral family; x86's has no padding.
struct NeutralEvent {
  uint32_t events, padding;
  uint64_t data;
};

constexpr long kEventsAtOnce = 256;

int64_t nanoseconds(const Timespec* limit) {
  if (!limit) return -1;
  return limit->seconds >= INT64_MAX / kSecond ? -1 : limit->seconds * kSecond + limit->nanoseconds;
}

bool valid(const Timespec* time) {
  return !time || (time->seconds >= 0 && time->nanoseconds >= 0 && time->nanoseconds < kSecond);
}

long wait_for_events(Call& call, int64_t limit) {
  epoll_event events[kEventsAtOnce];
  const long most = call.a[2] < kEventsAtOnce ? call.a[2] : kEventsAtOnce;
  const long count = wait_at_most(call, limit, [&](const Timespec* left) {
    // Rounded up: to wake before the limit would make a program that polls for it spin.
    const int64_t milliseconds = left ? (left->seconds * kSecond + left->nanoseconds + 999999) / 1000000 : -1;
    return sys_wait(__NR_epoll_pwait, call.a[0], events, most, milliseconds > INT32_MAX ? INT32_MAX : milliseconds,
                    call.a[4], call.a[5]);
  });
  auto* out = reinterpret_cast<NeutralEvent*>(call.a[1]);
  for (long i = 0; i < count; ++i) out[i] = {events[i].events, 0, events[i].data};
  return count;
}

}  // namespace

long native_open_flags(long neutral) { return translate_flags(neutral, true); }
long neutral_open_flags(long native) { return translate_flags(native, false); }

int64_t call_openat(Call& call) {
  return wait(call, call.a[0], call.a[1], native_open_flags(call.a[2]), call.a[3], 0, 0);
}

int64_t call_openat2(Call& call) {
  if (static_cast<uint64_t>(call.a[3]) != sizeof(open_how)) return -E2BIG;
  open_how how = *reinterpret_cast<const open_how*>(call.a[2]);
  how.flags = static_cast<uint64_t>(native_open_flags(static_cast<long>(how.flags)));
  return wait(call, call.a[0], call.a[1], reinterpret_cast<long>(&how), sizeof how, 0, 0);
}

/// The descriptor is gone even when close says -EINTR (close(2)).
int64_t call_close(Call& call) {
  const long result = sys(__NR_close, call.a[0]);
  return result == -EINTR ? 0 : result;
}

int64_t call_fcntl(Call& call) {
  constexpr int64_t kGetLock = 5, kSetLock = 6, kWaitLock = 7;
  switch (call.a[1]) {
    case F_GETFL: {
      const long flags = sys(__NR_fcntl, call.a[0], F_GETFL, 0);
      return failed(flags) ? flags : neutral_open_flags(flags);
    }
    case F_SETFL: return sys(__NR_fcntl, call.a[0], F_SETFL, native_open_flags(call.a[2]));
    case kGetLock:
    case kSetLock:
    case kWaitLock: {
      // A narrow kernel has others for locks of 64 bits.
      const int64_t command = kNarrow ? call.a[1] - kGetLock + 12 : call.a[1];
      return wait(call, call.a[0], command, call.a[2], 0, 0, 0);
    }
    default: return wait(call);
  }
}

long native_stat(long fd, const char* path, long flags, NeutralStat& neutral) {
  // statx is the same everywhere: no narrow times on 32 bits, and qemu's stat of s390x has no nanoseconds.
  if constexpr (kForeign) {
    constexpr long kEmptyPath = 0x1000, kBasic = 0x7ff;
    struct statx native;
    const long result = sys(__NR_statx, fd, path ? path : "", path ? flags : flags | kEmptyPath, kBasic, &native);
    if (!failed(result)) neutral = from_statx(native);
    return result;
  }
  struct stat native;
  const long result = path ? sys(__NR_newfstatat, fd, path, &native, flags) : sys(__NR_fstat, fd, &native);
  if (!failed(result)) neutral = from_stat(native);
  return result;
}

int64_t call_fstat(Call& call) {
  return native_stat(call.a[0], nullptr, 0, *reinterpret_cast<NeutralStat*>(call.a[1]));
}

int64_t call_fstatat(Call& call) {
  const auto* path = reinterpret_cast<const char*>(call.a[1]);
  if (!path) return -EFAULT;
  return native_stat(call.a[0], path, call.a[3], *reinterpret_cast<NeutralStat*>(call.a[2]));
}

namespace {

struct NeutralStatfs {
  uint64_t type, block_size, blocks, free, available, files, free_files;
  int32_t id[2];
  uint64_t name_length, fragment_size, flags, spare[4];
};
static_assert(sizeof(NeutralStatfs) == 120);

}  // namespace

/// statfs and fstatfs. s390x has narrower fields.
int64_t call_statfs(Call& call) {
#if __SIZEOF_LONG__ == 4
  struct statfs64 native = {};
  const long result = sys(call.native, call.a[0], sizeof native, &native);
#else
  struct statfs native = {};
  const long result = sys(call.native, call.a[0], &native);
#endif
  if (failed(result)) return result;
  *reinterpret_cast<NeutralStatfs*>(call.a[1]) = {.type = static_cast<uint64_t>(native.f_type),
                                                  .block_size = static_cast<uint64_t>(native.f_bsize),
                                                  .blocks = static_cast<uint64_t>(native.f_blocks),
                                                  .free = static_cast<uint64_t>(native.f_bfree),
                                                  .available = static_cast<uint64_t>(native.f_bavail),
                                                  .files = static_cast<uint64_t>(native.f_files),
                                                  .free_files = static_cast<uint64_t>(native.f_ffree),
                                                  .id = {native.f_fsid.val[0], native.f_fsid.val[1]},
                                                  .name_length = static_cast<uint64_t>(native.f_namelen),
                                                  .fragment_size = static_cast<uint64_t>(native.f_frsize),
                                                  .flags = static_cast<uint64_t>(native.f_flags),
                                                  .spare = {}};
  return result;
}

int64_t call_epoll_ctl(Call& call) {
  epoll_event event = {};
  if (const auto* neutral = reinterpret_cast<const NeutralEvent*>(call.a[3])) {
    event.events = neutral->events;
    event.data = neutral->data;
  }
  return sys(__NR_epoll_ctl, call.a[0], call.a[1], call.a[2], call.a[3] ? &event : nullptr);
}

int64_t call_epoll_pwait(Call& call) {
  if (call.a[2] <= 0) return -EINVAL;
  const auto milliseconds = static_cast<int32_t>(call.a[3]);
  return wait_for_events(call, milliseconds < 0 ? -1 : milliseconds * INT64_C(1000000));
}

int64_t call_epoll_pwait2(Call& call) {
  const auto* limit = reinterpret_cast<const Timespec*>(call.a[3]);
  if (call.a[2] <= 0 || !valid(limit)) return -EINVAL;
  return wait_for_events(call, nanoseconds(limit));
}

/// The sets are read and written, so each issue needs them as they were.
int64_t call_pselect6(Call& call) {
  constexpr uint64_t kSetWords = 16;  // 1024 descriptors, what an fd_set has
  auto* limit = reinterpret_cast<Timespec*>(call.a[4]);
  if (call.a[0] < 0 || call.a[0] > 1024 || !valid(limit)) return -EINVAL;
  const uint64_t words = (static_cast<uint64_t>(call.a[0]) + 63) / 64;
  uint64_t before[3][kSetWords];
  for (int i = 0; i < 3; ++i) {
    if (call.a[1 + i]) memcpy(before[i], reinterpret_cast<void*>(call.a[1 + i]), words * 8);
  }
  const long result = wait_at_most(call, nanoseconds(limit), [&](Timespec* left) {
    for (int i = 0; i < 3; ++i) {
      if (call.a[1 + i]) memcpy(reinterpret_cast<void*>(call.a[1 + i]), before[i], words * 8);
    }
    return sys_wait(__NR_pselect6, call.a[0], call.a[1], call.a[2], call.a[3], left, call.a[5]);
  });
  if (limit && result != kStopHere && call.left >= 0) *limit = {call.left / kSecond, call.left % kSecond};
  return result;
}

int64_t call_ppoll(Call& call) {
  auto* limit = reinterpret_cast<Timespec*>(call.a[2]);
  if (!valid(limit)) return -EINVAL;
  return wait_at_most(call, nanoseconds(limit), [&](Timespec* left) {
    return sys_wait(__NR_ppoll, call.a[0], call.a[1], left, call.a[3], call.a[4]);
  });
}

}  // namespace godwit::portable
