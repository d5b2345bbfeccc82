// Calls that name processes and threads: the unit's own numbers are not the kernel's.
#include <asm/errno.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

/// The kernel's number for a process that the program names; its own may have come with it from another machine.
long kernel_pid(int64_t pid) { return static_cast<long>(pid == header().pid ? own_pid() : pid); }

}  // namespace

int64_t call_getpid(Call&) { return header().pid; }

/// kill and rt_sigqueueinfo: 0 and negative numbers are groups.
int64_t call_kill(Call& call) {
  const long pid =
      call.a[0] == -static_cast<long>(header().pid) ? -static_cast<long>(own_pid()) : kernel_pid(call.a[0]);
  return sys(call.native, pid, call.a[1], call.a[2]);
}

int64_t call_tkill(Call& call) {
  const uint32_t tid = kernel_tid(call.a[0]);
  return tid ? sys(__NR_tgkill, own_pid(), tid, call.a[1]) : -ESRCH;
}

int64_t call_tgkill(Call& call) {
  if (call.a[0] != header().pid) return -ESRCH;
  const uint32_t tid = kernel_tid(call.a[1]);
  return tid ? sys(__NR_tgkill, own_pid(), tid, call.a[2]) : -ESRCH;
}

/// Calls whose first argument is a process.
int64_t call_own_pid(Call& call) { return sys(call.native, kernel_pid(call.a[0]), call.a[1]); }

/// Calls whose first argument is a thread: 0 is the calling one.
int64_t call_thread(Call& call) {
  auto tid = static_cast<long>(call.a[0]);
  if (call.a[0] == header().pid) {
    tid = own_pid();
  } else if (const uint32_t known = kernel_tid(tid)) {
    tid = known;
  }
  return sys(call.native, tid, call.a[1], call.a[2], call.a[3]);
}

int64_t call_prlimit(Call& call) { return sys(__NR_prlimit64, kernel_pid(call.a[0]), call.a[1], call.a[2], call.a[3]); }

}  // namespace godwit::portable
