// Calls with offsets and limits that have more bits than a register of a narrow processor. Elsewhere the kernel's own do.
//
// armhf passes a number of 64 bits in two registers, the first of them an even one, the lower half first.
#include <asm/errno.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

long low(int64_t value) { return static_cast<int32_t>(value); }
long high(int64_t value) { return static_cast<long>(value >> 32); }

constexpr int64_t kMostBytes = 0x7ffff000;  // of one call, as the kernel has it

}  // namespace

int64_t call_lseek(Call& call) {
  return sys_seek(static_cast<long>(call.a[0]), call.a[1], static_cast<long>(call.a[2]));
}

/// pread64, pwrite64.
int64_t call_at_offset(Call& call) {
  const int64_t size = call.a[2] < kMostBytes && call.a[2] >= 0 ? call.a[2] : kMostBytes;
  return wait(call, call.a[0], call.a[1], size, 0, low(call.a[3]), high(call.a[3]));
}

/// preadv, pwritev, preadv2, pwritev2: the offset's halves are arguments by themselves.
int64_t call_vectors_at_offset(Call& call) {
  return wait(call, call.a[0], call.a[1], call.a[2], low(call.a[3]), high(call.a[3]), call.a[5]);
}

/// truncate, ftruncate.
int64_t call_truncate(Call& call) { return sys(call.native, call.a[0], 0, low(call.a[1]), high(call.a[1])); }

int64_t call_fallocate(Call& call) {
  return sys(call.native, call.a[0], call.a[1], low(call.a[2]), high(call.a[2]), low(call.a[3]), high(call.a[3]));
}

int64_t call_readahead(Call& call) {
  return sys(call.native, call.a[0], 0, low(call.a[1]), high(call.a[1]), low(call.a[2]));
}

/// fadvise64 and sync_file_range: what to do comes second.
int64_t call_range(Call& call) {
  return sys(call.native, call.a[0], call.a[3], low(call.a[1]), high(call.a[1]), low(call.a[2]), high(call.a[2]));
}

int64_t call_getrlimit(Call& call) { return sys(__NR_prlimit64, 0, call.a[0], 0, call.a[1]); }
int64_t call_setrlimit(Call& call) { return sys(__NR_prlimit64, 0, call.a[0], call.a[1], 0); }

int64_t call_gettimeofday(Call& call) {
  if (auto* time = reinterpret_cast<int64_t*>(call.a[0])) {
    Timespec now = {};
    read_clock(0, &now);
    time[0] = now.seconds;
    time[1] = now.nanoseconds / 1000;
  }
  return 0;
}

int64_t call_missing(Call&) { return -ENOSYS; }

/// A size of more than 32 bits means: as much as there is.
int64_t call_read(Call& call) {
  if (call.a[2] < 0 || call.a[2] > kMostBytes) call.a[2] = kMostBytes;
  return wait(call);
}

}  // namespace godwit::portable
