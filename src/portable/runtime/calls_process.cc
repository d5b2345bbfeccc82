// Calls that name processes and threads: the unit's own numbers are not the kernel's.
#include <asm/errno.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

/// The kernel's number for a process that the program names; its own may have come with it from another machine.
long kernel_pid(long pid) { return pid == header().pid ? own_pid() : pid; }

}  // namespace

long call_getpid(Call&) { return header().pid; }

/// kill and rt_sigqueueinfo: 0 and negative numbers are groups.
long call_kill(Call& call) {
  const long pid =
      call.a[0] == -static_cast<long>(header().pid) ? -static_cast<long>(own_pid()) : kernel_pid(call.a[0]);
  return sys(call.native, pid, call.a[1], call.a[2]);
}

long call_tkill(Call& call) {
  const uint32_t tid = kernel_tid(call.a[0]);
  return tid ? sys(__NR_tgkill, own_pid(), tid, call.a[1]) : -ESRCH;
}

long call_tgkill(Call& call) {
  if (call.a[0] != header().pid) return -ESRCH;
  const uint32_t tid = kernel_tid(call.a[1]);
  return tid ? sys(__NR_tgkill, own_pid(), tid, call.a[2]) : -ESRCH;
}

/// Calls whose first argument is a process.
long call_own_pid(Call& call) { return sys(call.native, kernel_pid(call.a[0]), call.a[1]); }

/// Calls whose first argument is a thread: 0 is the calling one.
long call_thread(Call& call) {
  long tid = call.a[0];
  if (tid == header().pid) {
    tid = own_pid();
  } else if (const uint32_t known = kernel_tid(tid)) {
    tid = known;
  }
  return sys(call.native, tid, call.a[1], call.a[2], call.a[3]);
}

long call_prlimit(Call& call) { return sys(__NR_prlimit64, kernel_pid(call.a[0]), call.a[1], call.a[2], call.a[3]); }

}  // namespace godwit::portable
