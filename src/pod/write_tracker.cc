#include "pod/write_tracker.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>

#include "base/sys.h"
#include "pod/kernel_abi.h"
#include "pod/kinds/common.h"
#include "pod/pagemap.h"

namespace godwit::pod {

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
constexpr uint64_t kPage = 4096;
}  // namespace

std::span<const MapEntry> stretch_around(std::span<const MapEntry> areas, uint64_t address) {
  const auto is_anonymous = [](const MapEntry& area) { return is_dumped_privately(area) && area.inode == 0; };
  const auto at = std::ranges::find_if(areas, [&](const MapEntry& a) { return a.start <= address && address < a.end; });
  if (at == areas.end() || !is_dumped_privately(*at)) return {};
  auto first = at, last = at + 1;
  if (is_anonymous(*at)) {
    while (first != areas.begin() && is_anonymous(first[-1])) --first;
    while (last != areas.end() && is_anonymous(*last)) ++last;
  }
  return {first, last};
}

Result<WriteTracker> WriteTracker::start(const ProcFs& proc, Frozen& frozen, FrozenProcess& process, SpaceId space,
                                         uint64_t tracked_file_bytes) {
  TRY(Remote * remote, frozen.remote(process));
  WriteTracker tracker(proc, process.host_pid, space, tracked_file_bytes);
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

// What of an address range isn't tracked: it never was, or it was mapped or moved since.
Result<std::vector<PageRun>> WriteTracker::find_untracked(uint64_t start, uint64_t end) const {
  abi::PmScanArg filter{};
  filter.category_inverted = filter.category_mask = filter.return_mask = abi::kPageIsWpAllowed;
  std::vector<PageRun> untracked;
  TRY_DO(pagemap_scan(pagemap_, start, end, filter,
                      [&](const abi::PageRegion& r) { append(untracked, space_, r.start, r.end); }));
  return untracked;
}

// Registers what isn't in the stretch of areas around an address. A registration makes an area unlike its neighbours, so one
// that covers only a part of what the program mapped in one call keeps the kernel from joining it again after an mprotect(2),
// and mremap(2) fails on two areas. So each goes from neighbour to neighbour, with the room in which the area may grow before
// the kernel hears of it; and if one was cut all the same, the next round finds the rest and joins them.
Result<void> WriteTracker::start_tracking(uint64_t address) {
  constexpr int kRounds = 4;  // a program that maps all the time is never tracked whole
  for (int round = 0; round < kRounds; round++) {
    TRY(const auto areas, proc_->maps(host_pid_));
    const auto stretch = stretch_around(areas, address);
    if (stretch.empty()) return {};
    TRY(const auto untracked, find_untracked(stretch.front().start, stretch.back().end));
    if (untracked.empty()) return {};
    for (const auto& run : untracked) {
      uint64_t start = stretch.front().start, end = stretch.back().end;
      for (const auto& area : stretch) {
        if (area.end <= run.address) start = area.end;
        if (area.start >= run.address + run.length) end = std::min(end, area.start);
      }
      uffdio_register registration{{start, end - start}, UFFDIO_REGISTER_MODE_WP, 0};
      // What can't be tracked is sent while frozen.
      if (::ioctl(uffd_.get(), UFFDIO_REGISTER, &registration) == 0) TRY_DO(forget_old_protection(start, end));
    }
  }
  return {};
}

// To be called after each registration, of the very range. Nobody but scan() protects, so what is protected in it is so by an
// earlier registration: the kernel may drop one and leave the protection of its pages. mremap(2) does (Linux 6.18): the new
// place is made with the registration of the old one, so it may become one area with a neighbour that is registered, too; then
// the new place's registration is taken off again, which is now the neighbour's. Writes to such pages don't change the mark, and
// a later mremap(2) takes it along: after the next registration they would look as if they had been sent and not written since.
Result<void> WriteTracker::forget_old_protection(uint64_t start, uint64_t end) {
  abi::PmScanArg filter{};
  filter.category_inverted = abi::kPageIsWritten;
  filter.category_mask = abi::kPageIsWritten | abi::kPageIsWpAllowed;
  filter.category_anyof_mask = abi::kPageIsPresent | abi::kPageIsSwapped;
  std::vector<PageRun> old;
  TRY_DO(pagemap_scan(pagemap_, start, end, filter,
                      [&](const abi::PageRegion& r) { append(old, space_, r.start, r.end); }));
  const auto unprotect = [&](uint64_t at, uint64_t length) {
    uffdio_writeprotect change{{at, length}, 0};
    return ::ioctl(uffd_.get(), UFFDIO_WRITEPROTECT, &change) == 0;
  };
  for (const auto& run : old) {
    if (unprotect(run.address, run.length)) continue;
    // A page of it isn't registered any more, where the kernel stopped. The others still are.
    for (uint64_t at = 0; at < run.length; at += kPage) unprotect(run.address + at, kPage);
  }
  return {};
}

// Pages with content that were written since they were protected, which they are again now; a page that came into being since
// then isn't protected, so it counts. What isn't tracked is passed over. Nothing here looks at unpopulated addresses, so
// reserves of many GiB cost nothing.
Result<void> WriteTracker::take_written(const MapEntry& area, std::vector<PageRun>& out) {
  abi::PmScanArg filter{};
  // Not kPmScanCheckWpAsync: it ends the scan at what isn't registered, with an error instead of what was protected before.
  filter.flags = abi::kPmScanWpMatching;
  filter.category_inverted = abi::kPageIsPfnZero | file_category(area);
  filter.category_mask = abi::kPageIsWritten | filter.category_inverted;
  filter.category_anyof_mask = abi::kPageIsPresent | abi::kPageIsSwapped;
  return pagemap_scan(pagemap_, area.start, area.end, filter,
                      [&](const abi::PageRegion& r) { append(out, space_, r.start, r.end); });
}

Result<void> WriteTracker::scan(std::span<const MapEntry> areas, ScanResult& out) {
  std::vector<PageRun> pages;
  for (const auto& area : areas) {
    if (!is_dumped_privately(area)) continue;
    TRY(const auto untracked, find_untracked(area.start, area.end));
    if (!untracked.empty()) {
      if (area.inode != 0) {
        std::vector<PageRun> changed;
        TRY_DO(scan_area(pagemap_, space_, area, false, changed));
        uint64_t bytes = 0;
        for (const auto& run : changed) bytes += run.length;
        if (bytes < tracked_file_bytes_) continue;
      }
      TRY_DO(start_tracking(area.start));
    }
    TRY_DO(take_written(area, pages));
  }
  std::ranges::sort(pages, {}, &PageRun::address);
  sent_.add(pages);
  out.pages.insert(out.pages.end(), pages.begin(), pages.end());
  return {};
}

Result<void> WriteTracker::distrust(std::span<const MapEntry> areas) {
  for (const auto& area : areas)
    if (is_dumped_privately(area)) TRY_DO(forget_old_protection(area.start, area.end));
  return {};
}

// Anonymous memory in one walk: what was written since it was protected or isn't tracked, and what has no content (a page that
// was never there, that went, or that is the zero page now, which is never protected).
Result<void> WriteTracker::find_last_anonymous(const MapEntry& area, std::vector<PageRun>& written,
                                               std::vector<PageRun>& missing) const {
  abi::PmScanArg filter{};
  filter.category_inverted = abi::kPageIsPresent | abi::kPageIsWpAllowed;
  filter.category_anyof_mask = abi::kPageIsWritten | filter.category_inverted;
  filter.return_mask =
      abi::kPageIsWpAllowed | abi::kPageIsWritten | abi::kPageIsPresent | abi::kPageIsSwapped | abi::kPageIsPfnZero;
  return pagemap_scan(pagemap_, area.start, area.end, filter, [&](const abi::PageRegion& r) {
    const bool there = (r.categories & (abi::kPageIsPresent | abi::kPageIsSwapped)) != 0;
    const bool protects = (r.categories & abi::kPageIsWpAllowed) != 0;
    if (!there || (r.categories & abi::kPageIsPfnZero) != 0)
      append(missing, space_, r.start, r.end);
    else if (!protects || (r.categories & abi::kPageIsWritten) != 0)
      append(written, space_, r.start, r.end);
  });
}

// Of a file's area also what was sent and isn't changed any more (MADV_DONTNEED): there the file's content is to be seen again,
// and no hole. The dropped page itself looks like a swapped one that is protected, so those are sent, too.
Result<void> WriteTracker::find_last_of_file(const MapEntry& area, std::vector<PageRun>& out) const {
  abi::PmScanArg filter{};
  filter.category_inverted = filter.category_mask = abi::kPageIsFile;
  filter.category_anyof_mask = abi::kPageIsPresent | abi::kPageIsSwapped;
  filter.return_mask = abi::kPageIsWpAllowed | abi::kPageIsWritten | abi::kPageIsPresent;
  std::vector<PageRun> unchanged;  // what lies between the changed ones
  std::vector<PageRun> found;
  uint64_t at = area.start;
  TRY_DO(pagemap_scan(pagemap_, area.start, area.end, filter, [&](const abi::PageRegion& r) {
    if (at < r.start) append(unchanged, space_, at, r.start);
    at = r.end;
    constexpr uint64_t kSentAndThere = abi::kPageIsWpAllowed | abi::kPageIsPresent;
    if (r.categories != kSentAndThere) append(found, space_, r.start, r.end);
  }));
  if (at < area.end) append(unchanged, space_, at, area.end);
  const auto again = sent_.common(unchanged, space_);
  out.insert(out.end(), found.begin(), found.end());
  out.insert(out.end(), again.begin(), again.end());
  return {};
}

Result<void> WriteTracker::last_scan(std::span<const MapEntry> areas, ScanResult& out) const {
  std::vector<PageRun> missing;
  for (const auto& area : areas) {
    if (!is_dumped_privately(area)) continue;
    if (area.inode != 0) {
      TRY_DO(find_last_of_file(area, out.pages));
    } else {
      TRY_DO(find_last_anonymous(area, out.pages, missing));
    }
  }
  // What was sent into memory that doesn't exist any more needs no hole: the destination unmaps it.
  const auto holes = sent_.common(missing, space_);
  out.holes.insert(out.holes.end(), holes.begin(), holes.end());
  return {};
}

Result<bool> reads_past_page_tables(const ProcFs& proc, pid_t host_pid) {
  const auto descriptors = proc.list(host_pid, "fdinfo");
  if (!descriptors && descriptors.error().code == Code::kGone) return false;
  if (!descriptors) return std::unexpected(descriptors.error());
  for (const auto& fd : *descriptors) {
    const auto info = proc.read(host_pid, "fdinfo/" + fd);
    if (!info && info.error().code == Code::kGone) continue;  // closed meanwhile
    if (!info) return std::unexpected(info.error());
    TRY(const uint64_t flags, kinds::fdinfo_number(*info, "flags", 8));
    if ((flags & O_DIRECT) != 0 && (flags & O_PATH) == 0) return true;
  }
  return false;
}

}  // namespace godwit::pod
