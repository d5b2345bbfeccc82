// Kernel interfaces that Debian 12's headers (Linux 6.1) don't have yet, with the version that brought each.
#pragma once

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>

#include <cstdint>

namespace godwit::pod::abi {

// PAGEMAP_SCAN, Linux 6.7: include/uapi/linux/fs.h.
struct PmScanArg {
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
struct PageRegion {
  uint64_t start, end, categories;
};
inline constexpr unsigned long kPagemapScan = _IOWR('f', 16, PmScanArg);
enum PageCategory : uint64_t {
  kPageIsWpAllowed = 1,
  kPageIsWritten = 2,
  kPageIsFile = 4,
  kPageIsPresent = 8,
  kPageIsSwapped = 16,
  kPageIsPfnZero = 32,
  kPageIsHuge = 64,
  kPageIsSoftDirty = 128,
  kPageIsGuard = 256,  // Linux 6.15
};
enum : uint64_t { kPmScanWpMatching = 1, kPmScanCheckWpAsync = 2 };

// userfaultfd: write-protect tracking without a handler, Linux 6.7.
inline constexpr uint64_t kUffdFeatureWpHugetlbfsShmem = 1 << 12;
inline constexpr uint64_t kUffdFeatureWpUnpopulated = 1 << 13;  // Linux 6.4
inline constexpr uint64_t kUffdFeatureWpAsync = 1 << 15;
inline constexpr int kUffdUserModeOnly = 1;

// ptrace requests that glibc 2.36 has no names for.
inline constexpr auto kPtraceGetSigmask = static_cast<__ptrace_request>(0x420a);
inline constexpr auto kPtraceSetSigmask = static_cast<__ptrace_request>(0x420b);
inline constexpr auto kPtraceSeccompGetFilter = static_cast<__ptrace_request>(0x420c);
inline constexpr auto kPtraceSeccompGetMetadata = static_cast<__ptrace_request>(0x420d);
inline constexpr auto kPtraceGetRseqConfiguration = static_cast<__ptrace_request>(0x420f);  // Linux 5.13
struct RseqConfiguration {
  uint64_t pointer;
  uint32_t size, signature, flags, pad;
};
inline constexpr unsigned kPtraceEventStop = 128;
inline constexpr unsigned long kPtraceOSuspendSeccomp = 1 << 21;

// arch_prctl(2), x86.
inline constexpr int kArchGetXcompPerm = 0x1022;
inline constexpr int kArchReqXcompPerm = 0x1023;
inline constexpr int kArchMapVdso64 = 0x2003;

// prctl(2).
inline constexpr int kPrGetTidAddress = 40;
inline constexpr int kPrTimerCreateRestoreIds = 77;  // Linux 6.15
inline constexpr int kPrGetMdwe = 66;
inline constexpr int kPrSetMdwe = 65;
inline constexpr int kPrSetVma = 0x53564d41;

inline constexpr int kMadvGuardInstall = 102;  // Linux 6.13

struct CloneArgs {
  uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
/// The kernel's sigaction as rt_sigaction(2) takes it on x86-64.
struct KernelSigaction {
  uint64_t handler, flags, restorer, mask;
};

}  // namespace godwit::pod::abi
