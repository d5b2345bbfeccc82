// PAGEMAP_SCAN (Linux 6.7) over /proc/PID/pagemap: what the pages of an address range are like, in runs of equal ones.
#pragma once

#include <sys/ioctl.h>

#include <cerrno>
#include <vector>

#include "engine/engine.h"
#include "pod/kernel_abi.h"
#include "pod/proc.h"

namespace godwit::pod {

/// One scan of [start, end), in as many calls as its result buffer needs. `each` gets every region that passes `filter`.
/// Code::kGone: the process ended or replaced its memory (execve).
template <typename F>
Result<void> pagemap_scan(const Fd& pagemap, uint64_t start, uint64_t end, abi::PmScanArg filter, F each) {
  static thread_local std::vector<abi::PageRegion> regions(4096);
  for (uint64_t at = start; at < end;) {
    abi::PmScanArg scan = filter;
    scan.size = sizeof scan;
    scan.start = at;
    scan.end = end;
    scan.vec = reinterpret_cast<uint64_t>(regions.data());
    // The kernel allocates as many of its own for each call; a region is a page at least, and up to 4 KiB are an object of a cache.
    constexpr uint64_t kCached = 4096 / sizeof(abi::PageRegion);
    const uint64_t pages = (end - at) / 4096 + 1;
    scan.vec_len = pages <= kCached ? pages : regions.size();
    const int n = ::ioctl(pagemap.get(), abi::kPagemapScan, &scan);
    if (n < 0) {
      const int e = errno;
      if (e == ESRCH) return std::unexpected(Error{Code::kGone, e, "PAGEMAP_SCAN"});
      return fail_errno(e, "PAGEMAP_SCAN");
    }
    for (int i = 0; i < n; i++) each(regions[static_cast<size_t>(i)]);
    if (scan.walk_end <= at) break;
    at = scan.walk_end;
  }
  return {};
}

/// Adds a run to a list, to its last one if they touch.
inline void append(std::vector<engine::PageRun>& list, engine::SpaceId space, uint64_t start, uint64_t end) {
  if (!list.empty() && list.back().space == space && list.back().address + list.back().length == start) {
    list.back().length += end - start;
  } else {
    list.push_back({space, start, end - start});
  }
}

/// Whether a page is the mapped file's own is asked only where there is a file: it makes the kernel look at the page's
/// struct, which costs four times the rest of the scan.
inline uint64_t file_category(const MapEntry& area) { return area.inode == 0 ? 0 : uint64_t{abi::kPageIsFile}; }

}  // namespace godwit::pod
