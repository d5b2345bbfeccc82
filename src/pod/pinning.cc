#include "pod/pinning.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

namespace godwit::pod {
namespace {

constexpr size_t kMaskBytes = 1024;  // CONFIG_NR_CPUS is at most 8192

void set_mask(pid_t tid, const std::string& mask) {
  (void)::syscall(SYS_sched_setaffinity, tid, mask.size(), mask.data());
}

}  // namespace

std::string allowed_cpus(pid_t tid) {
  std::array<char, kMaskBytes> mask{};
  const long n = ::syscall(SYS_sched_getaffinity, tid, mask.size(), mask.data());
  return n > 0 ? std::string(mask.data(), static_cast<size_t>(n)) : std::string();
}

// A task that never asked for a mask must not be left with one: it would not follow its cpuset any more. So all is tried
// first, and a mask set only where that gives more.
void allow_cpus(pid_t tid, const std::string& mask) {
  set_mask(tid, std::string(kMaskBytes, '\xff'));
  if (!mask.empty() && allowed_cpus(tid) != mask) set_mask(tid, mask);
}

void keep_on_cpu(pid_t tid, int cpu) {
  if (cpu < 0) return;
  const auto at = static_cast<size_t>(cpu);
  std::string mask((at / 64 + 1) * 8, '\0');
  mask[at / 8] = static_cast<char>(1 << at % 8);
  set_mask(tid, mask);
}

PinnedThread::PinnedThread(int cpu) : cpu_(cpu >= 0 ? cpu : ::sched_getcpu()), before_(allowed_cpus(0)) {
  keep_on_cpu(0, cpu_);
}

PinnedThread::~PinnedThread() {
  if (!before_.empty()) set_mask(0, before_);
}

}  // namespace godwit::pod
