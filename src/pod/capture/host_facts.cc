// The facts of this machine that a state refers to: kernel, boot, clocks, vDSO.
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "base/io.h"
#include "pod/capture/capture.h"
#include "pod/vdso.h"

namespace godwit::pod {
namespace {

// The offsets of the time namespace a process is in (time_namespaces(7)).
Result<std::pair<int64_t, int64_t>> time_offsets(const ProcFs& proc, pid_t pid) {
  int64_t monotonic = 0, boottime = 0;
  auto text = proc.read(pid, "timens_offsets");
  if (!text) return std::pair{monotonic, boottime};  // a kernel without time namespaces
  long seconds = 0, nanoseconds = 0;
  if (const size_t at = text->find("monotonic");
      at != std::string::npos && std::sscanf(text->c_str() + at, "monotonic %ld %ld", &seconds, &nanoseconds) == 2) {
    monotonic = seconds * 1'000'000'000 + nanoseconds;
  }
  if (const size_t at = text->find("boottime");
      at != std::string::npos && std::sscanf(text->c_str() + at, "boottime %ld %ld", &seconds, &nanoseconds) == 2) {
    boottime = seconds * 1'000'000'000 + nanoseconds;
  }
  return std::pair{monotonic, boottime};
}

// It is asked for in a freeze, and doesn't change while we live.
Result<std::string> boot_id(const ProcFs& proc) {
  static std::mutex mutex;
  static std::string known;
  const std::lock_guard lock(mutex);
  if (!known.empty()) return known;
  TRY(auto text, io::read_file_at(proc.dir(), "sys/kernel/random/boot_id"));
  while (text.ends_with('\n')) text.pop_back();
  known = text;
  return known;
}

}  // namespace

Result<pb::HostFacts> host_facts(const ProcFs& proc, pid_t host_pid) {
  pb::HostFacts facts;
  utsname uts;
  ::uname(&uts);
  facts.set_kernel_release(uts.release);
  TRY(const std::string boot, boot_id(proc));
  facts.set_boot_id(boot);
  TRY(const auto target, time_offsets(proc, host_pid));
  TRY(const auto own, time_offsets(proc, ::getpid()));
  facts.set_monotonic_ns(clock_now(CLOCK_MONOTONIC).count() + target.first - own.first);
  facts.set_boottime_ns(clock_now(CLOCK_BOOTTIME).count() + target.second - own.second);
  facts.set_monotonic_offset_ns(target.first);
  facts.set_boottime_offset_ns(target.second);
  facts.set_realtime_ns(clock_now(CLOCK_REALTIME).count());
  facts.set_vdso_digest(own_vdso_digest());
  facts.set_vdso_image(own_vdso().data(), own_vdso().size());
  return facts;
}

}  // namespace godwit::pod
