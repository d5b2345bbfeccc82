#include "pod/memory.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "base/sys.h"
#include "pod/kernel_abi.h"

namespace godwit::pod {
namespace {

constexpr size_t kRegionsPerCall = 4096;
constexpr uint64_t kPage = 4096;
constexpr size_t kMaxIovecs = 1024;  // IOV_MAX

// One PAGEMAP_SCAN over [start, end), as often as its result buffer needs. `each` gets every region.
template <typename F>
Result<void> pagemap_scan(const Fd& pagemap, uint64_t start, uint64_t end, abi::PmScanArg filter, F each) {
  static thread_local std::vector<abi::PageRegion> regions(kRegionsPerCall);
  for (uint64_t at = start; at < end;) {
    abi::PmScanArg scan = filter;
    scan.size = sizeof scan;
    scan.start = at;
    scan.end = end;
    scan.vec = reinterpret_cast<uint64_t>(regions.data());
    scan.vec_len = regions.size();
    const int n = ::ioctl(pagemap.get(), abi::kPagemapScan, &scan);
    if (n < 0) {
      const int e = errno;
      // The process ended, or replaced its memory (execve).
      if (e == ESRCH) return std::unexpected(Error{Code::kGone, e, "PAGEMAP_SCAN"});
      return fail_errno(e, "PAGEMAP_SCAN");
    }
    for (int i = 0; i < n; i++) each(regions[static_cast<size_t>(i)]);
    if (scan.walk_end <= at) break;
    at = scan.walk_end;
  }
  return {};
}

void append(std::vector<PageRun>& list, SpaceId space, uint64_t start, uint64_t end) {
  if (!list.empty() && list.back().space == space && list.back().address + list.back().length == start) {
    list.back().length += end - start;
  } else {
    list.push_back({space, start, end - start});
  }
}

}  // namespace

uint64_t ScanResult::page_bytes() const {
  uint64_t sum = 0;
  for (const auto& run : pages) sum += run.length;
  return sum;
}

bool is_kernel_area(const MapEntry& area) {
  return area.name == "[vdso]" || area.name.starts_with("[vvar") || area.name == "[vsyscall]" ||
         area.name == "[uprobes]";
}

bool is_dumped_privately(const MapEntry& area) { return !area.shared && !is_kernel_area(area); }

Result<void> MemoryReader::add_object(SpaceId space, Fd object) {
  objects_.insert_or_assign(space, std::move(object));
  return {};
}

Result<void> MemoryReader::read(std::span<const PageRun> runs, std::span<std::byte> out) {
  for (size_t i = 0; i < runs.size();) {
    size_t n = i;
    uint64_t bytes = 0;
    while (n < runs.size() && runs[n].space == runs[i].space) bytes += runs[n++].length;
    const auto part = out.subspan(0, bytes);
    out = out.subspan(bytes);
    if (const auto p = processes_.find(runs[i].space); p != processes_.end()) {
      TRY_DO(read_process(p->second, runs.subspan(i, n - i), part));
    } else if (const auto o = objects_.find(runs[i].space); o != objects_.end()) {
      size_t offset = 0;
      for (const auto& run : runs.subspan(i, n - i)) {
        const auto piece = part.subspan(offset, run.length);
        // The last page of an object may be partly behind its end.
        std::ranges::fill(piece, std::byte{0});
        size_t done = 0;
        while (done < piece.size()) {
          const ssize_t r = ::pread(o->second.get(), piece.data() + done, piece.size() - done,
                                    static_cast<off_t>(run.address + done));
          if (r < 0) return fail_errno(errno, "reading a shared object");
          if (r == 0) break;
          done += static_cast<size_t>(r);
        }
        offset += run.length;
      }
    } else {
      return fail(Code::kFailed, "no such space: " + std::to_string(runs[i].space));
    }
    i = n;
  }
  return {};
}

Result<void> MemoryReader::read_process(pid_t host_pid, std::span<const PageRun> runs, std::span<std::byte> out) const {
  std::array<iovec, kMaxIovecs> remote;
  for (size_t i = 0; i < runs.size();) {
    const auto some = runs.subspan(i, std::min(kMaxIovecs, runs.size() - i));
    size_t bytes = 0;
    for (size_t k = 0; k < some.size(); k++) {
      remote[k] = {reinterpret_cast<void*>(some[k].address), some[k].length};
      bytes += some[k].length;
    }
    iovec local{out.data(), bytes};
    const ssize_t got = ::process_vm_readv(host_pid, &local, 1, remote.data(), some.size(), 0);
    if (got != static_cast<ssize_t>(bytes)) TRY_DO(read_by_page(host_pid, some, out));
    out = out.subspan(bytes);
    i += some.size();
  }
  return {};
}

// Some page isn't readable by process_vm_readv (no PROT_READ) or is gone: page by page through /proc/PID/mem; gone is zero.
Result<void> MemoryReader::read_by_page(pid_t host_pid, std::span<const PageRun> runs, std::span<std::byte> out) const {
  const auto mem = proc_->open(host_pid, "mem", O_RDONLY);
  if (!mem && mem.error().code != Code::kGone) return std::unexpected(mem.error());
  size_t offset = 0;
  for (const auto& run : runs) {
    for (uint64_t a = 0; a < run.length; a += kPage, offset += kPage) {
      const ssize_t r = !mem ? 0 : ::pread(mem->get(), out.data() + offset, kPage, static_cast<off_t>(run.address + a));
      if (r != static_cast<ssize_t>(kPage)) std::memset(out.data() + offset, 0, kPage);
    }
  }
  return {};
}

namespace {
// Whether a page is the mapped file's own is asked only where there is a file: it makes the kernel look at the page's
// struct, which costs four times the rest of the scan.
uint64_t file_category(const MapEntry& area) { return area.inode == 0 ? uint64_t{0} : uint64_t{abi::kPageIsFile}; }
}  // namespace

Result<void> scan_area(const Fd& pagemap, SpaceId space, const MapEntry& area, bool whole_file,
                       std::vector<PageRun>& out) {
  abi::PmScanArg filter{};
  const uint64_t without = abi::kPageIsPfnZero | (whole_file ? 0 : file_category(area));
  filter.category_inverted = without;
  filter.category_mask = without;
  filter.category_anyof_mask = abi::kPageIsPresent | abi::kPageIsSwapped;
  return pagemap_scan(pagemap, area.start, area.end, filter,
                      [&](const abi::PageRegion& r) { append(out, space, r.start, r.end); });
}

std::vector<PageRun> scan_guards(const Fd& pagemap, SpaceId space, const MapEntry& area) {
  abi::PmScanArg filter{};
  filter.category_mask = abi::kPageIsGuard;
  std::vector<PageRun> out;
  // EINVAL: a kernel before 6.15 doesn't know the category (and one before 6.13 has no guards at all).
  (void)pagemap_scan(pagemap, area.start, area.end, filter,
                     [&](const abi::PageRegion& r) { append(out, space, r.start, r.end); });
  return out;
}

Result<std::vector<PageRun>> scan_object(const Fd& object, SpaceId space, uint64_t size) {
  std::vector<PageRun> out;
  off_t at = 0;
  while (static_cast<uint64_t>(at) < size) {
    const off_t data = ::lseek(object.get(), at, SEEK_DATA);
    if (data < 0) {
      if (errno == ENXIO) break;
      return fail_errno(errno, "SEEK_DATA");
    }
    const off_t hole = ::lseek(object.get(), data, SEEK_HOLE);
    if (hole < 0) return fail_errno(errno, "SEEK_HOLE");
    const uint64_t start = static_cast<uint64_t>(data) & ~(kPage - 1);
    const uint64_t end = (std::min(static_cast<uint64_t>(hole), size) + kPage - 1) & ~(kPage - 1);
    append(out, space, start, end);
    at = hole;
  }
  return out;
}

void PageSet::add(std::span<const PageRun> runs) {
  std::vector<std::pair<uint64_t, uint64_t>> merged;
  merged.reserve(intervals_.size() + runs.size());
  auto push = [&](uint64_t start, uint64_t end) {
    if (!merged.empty() && start <= merged.back().second)
      merged.back().second = std::max(merged.back().second, end);
    else
      merged.emplace_back(start, end);
  };
  size_t i = 0;
  for (const auto& run : runs) {
    for (; i < intervals_.size() && intervals_[i].first <= run.address; i++)
      push(intervals_[i].first, intervals_[i].second);
    push(run.address, run.address + run.length);
  }
  for (; i < intervals_.size(); i++) push(intervals_[i].first, intervals_[i].second);
  intervals_ = std::move(merged);
}

std::vector<PageRun> PageSet::common(std::span<const PageRun> runs, SpaceId space) const {
  std::vector<PageRun> out;
  size_t i = 0;
  for (const auto& [start, end] : intervals_) {
    while (i < runs.size() && runs[i].address + runs[i].length <= start) i++;
    for (size_t k = i; k < runs.size() && runs[k].address < end; k++)
      append(out, space, std::max(start, runs[k].address), std::min(end, runs[k].address + runs[k].length));
  }
  return out;
}

namespace {
// A private file mapping with more changed pages than this is tracked, the others are sent while frozen.
constexpr uint64_t kLargeFileAreaBytes = 4u << 20;
}  // namespace

Result<WriteTracker> WriteTracker::start(const ProcFs& proc, Frozen& frozen, FrozenProcess& process, SpaceId space) {
  TRY(Remote * remote, frozen.remote(process));
  WriteTracker tracker;
  tracker.space_ = space;
  TRY(const Fd pidfd, sys::pidfd_open(process.host_pid));
  // An ordinary user may only have the user-mode-only kind, which sees kernel writes too in WP_ASYNC mode (measured).
  auto made = remote->call(process.leader(), SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (!made) made = remote->call(process.leader(), SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | abi::kUffdUserModeOnly);
  if (!made) return std::unexpected(made.error().in("userfaultfd in " + process.name()));
  const int theirs = static_cast<int>(*made);
  auto ours = sys::pidfd_getfd(pidfd, theirs);
  TRY_DO(remote->call(process.leader(), SYS_close, theirs));
  if (!ours) return std::unexpected(ours.error());
  tracker.uffd_ = std::move(*ours);
  uffdio_api api{UFFD_API, UFFD_FEATURE_PAGEFAULT_FLAG_WP | abi::kUffdFeatureWpAsync, 0};
  if (::ioctl(tracker.uffd_.get(), UFFDIO_API, &api) < 0) return fail_errno(errno, "UFFDIO_API with WP_ASYNC");
  TRY(tracker.pagemap_, proc.open(process.host_pid, "pagemap", O_RDONLY));
  return tracker;
}

WriteTracker::Chain chain_around(std::span<const MapEntry> areas, size_t index) {
  const auto touch = [](const MapEntry& a, const MapEntry& b) {
    return a.end == b.start && is_dumped_privately(a) && is_dumped_privately(b) && a.inode == 0 && b.inode == 0;
  };
  size_t first = index, last = index;
  while (first > 0 && touch(areas[first - 1], areas[first])) first--;
  while (last + 1 < areas.size() && touch(areas[last], areas[last + 1])) last++;
  const uint64_t end = areas[last].end;
  return {areas[first].start, end, last + 1 < areas.size() ? areas[last + 1].start : end};
}

bool WriteTracker::is_tracked(const MapEntry& area) const {
  const auto next = tracked_.upper_bound(area.start);
  return next != tracked_.begin() && area.end <= std::prev(next)->second;
}

// What came into the chain's room meanwhile is registered, too, and never protected. Where the chain can't be registered, the
// area alone is.
bool WriteTracker::start_tracking(const MapEntry& area, const Chain& chain) {
  for (const auto& [start, end, room] : {chain, Chain{area.start, area.end, area.end}}) {
    uffdio_register registration{{start, room - start}, UFFDIO_REGISTER_MODE_WP, 0};
    if (::ioctl(uffd_.get(), UFFDIO_REGISTER, &registration) < 0) continue;
    std::erase_if(tracked_, [from = start, to = end](const auto& t) { return t.first < to && from < t.second; });
    tracked_[start] = end;
    return true;
  }
  return false;
}

// Pages with content that were written since they were protected; a page that came into being since then isn't protected,
// so it counts. Nothing here looks at unpopulated addresses, so reserves of many GiB cost nothing.
Result<void> WriteTracker::scan_tracked(const MapEntry& area, bool protect, std::vector<PageRun>& out) {
  abi::PmScanArg filter{};
  filter.flags = protect ? abi::kPmScanWpMatching | abi::kPmScanCheckWpAsync : 0;
  filter.category_inverted = abi::kPageIsPfnZero | file_category(area);
  filter.category_mask = abi::kPageIsWritten | filter.category_inverted;
  filter.category_anyof_mask = abi::kPageIsPresent | abi::kPageIsSwapped;
  return pagemap_scan(pagemap_, area.start, area.end, filter,
                      [&](const abi::PageRegion& r) { append(out, space_, r.start, r.end); });
}

// Anonymous memory in one walk: what was written since it was protected, and what has no content (a page that was never
// there, that went, or that is the zero page now, which is never protected).
Result<void> WriteTracker::scan_written_and_missing(const MapEntry& area, std::vector<PageRun>& written,
                                                    std::vector<PageRun>& missing) {
  abi::PmScanArg filter{};
  filter.category_inverted = abi::kPageIsPresent;
  filter.category_anyof_mask = abi::kPageIsWritten | abi::kPageIsPresent;
  filter.return_mask = abi::kPageIsWritten | abi::kPageIsPresent | abi::kPageIsSwapped | abi::kPageIsPfnZero;
  return pagemap_scan(pagemap_, area.start, area.end, filter, [&](const abi::PageRegion& r) {
    const bool there = (r.categories & (abi::kPageIsPresent | abi::kPageIsSwapped)) != 0;
    if (!there || (r.categories & abi::kPageIsPfnZero) != 0)
      append(missing, space_, r.start, r.end);
    else if ((r.categories & abi::kPageIsWritten) != 0)
      append(written, space_, r.start, r.end);
  });
}

Result<void> WriteTracker::scan(std::span<const MapEntry> areas, std::span<const Chain> chains, ScanResult& out) {
  std::vector<PageRun> pages;
  for (size_t i = 0; i < areas.size(); i++) {
    const MapEntry& area = areas[i];
    if (!is_dumped_privately(area)) continue;
    if (area.inode != 0 && !is_tracked(area)) {
      std::vector<PageRun> changed;
      TRY_DO(scan_area(pagemap_, space_, area, false, changed));
      uint64_t bytes = 0;
      for (const auto& run : changed) bytes += run.length;
      if (bytes < kLargeFileAreaBytes) continue;
    }
    if (!is_tracked(area) && !start_tracking(area, chains[i])) continue;  // sent while frozen
    auto scanned = scan_tracked(area, true, pages);
    // CHECK_WPASYNC met a part that isn't registered (re-mapped since): register it again; all of it counts as written.
    if (!scanned && scanned.error().errnum == EPERM && start_tracking(area, chains[i]))
      scanned = scan_tracked(area, true, pages);
    if (!scanned && scanned.error().errnum == ESRCH) return fail(Code::kGone, "its memory was replaced");
    if (!scanned && scanned.error().errnum != EPERM) return std::unexpected(scanned.error());
  }
  std::ranges::sort(pages, {}, &PageRun::address);
  sent_.add(pages);
  out.pages.insert(out.pages.end(), pages.begin(), pages.end());
  return {};
}

Result<void> WriteTracker::last_scan(std::span<const MapEntry> areas, ScanResult& out) {
  std::vector<PageRun> missing;
  const auto scan_one = [&](const MapEntry& area) -> Result<void> {
    // WRITTEN means "not protected", so a part that was re-mapped and isn't registered any more shows all its pages.
    const bool tracked = is_tracked(area);
    if (tracked && area.inode == 0) return scan_written_and_missing(area, out.pages, missing);
    std::vector<PageRun> present;
    TRY_DO(scan_area(pagemap_, space_, area, false, present));
    uint64_t at = area.start;
    for (const auto& run : present) {
      if (at < run.address) append(missing, space_, at, run.address);
      at = run.address + run.length;
    }
    if (at < area.end) append(missing, space_, at, area.end);
    if (tracked) return scan_tracked(area, false, out.pages);
    out.pages.insert(out.pages.end(), present.begin(), present.end());
    return {};
  };
  for (const auto& area : areas) {
    if (is_dumped_privately(area)) TRY_DO(scan_one(area));
  }
  // What was sent into memory that doesn't exist any more needs no hole: the destination unmaps it.
  const auto holes = sent_.common(missing, space_);
  out.holes.insert(out.holes.end(), holes.begin(), holes.end());
  return {};
}

}  // namespace godwit::pod
