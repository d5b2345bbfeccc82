// WriteTracker finds what was written between two looks at a running process: userfaultfd in WP_ASYNC mode, made inside the
// process by a remote call and taken over with pidfd_getfd; the kernel itself resolves each first write, so nothing waits
// for us.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "pod/freeze.h"
#include "pod/memory.h"
#include "pod/proc.h"

namespace godwit::pod {

/// Pages as sorted, disjoint intervals.
class PageSet {
 public:
  void add(std::span<const PageRun> sorted_runs);
  /// What is in this set and in the sorted runs, as runs of `space`.
  std::vector<PageRun> common(std::span<const PageRun> sorted_runs, SpaceId space) const;

 private:
  std::vector<std::pair<uint64_t, uint64_t>> intervals_;
};

/// Write tracking of the private memory of one process.
///
/// What is tracked is what the kernel says is registered, asked at each look: memory that is mapped, moved or grown anew isn't,
/// and is registered and sent whole at the next look. What holds at any time, and all rests on: a page that is registered and
/// protected has the content that was last sent for its address.
///
/// What doesn't go through the process's page tables isn't seen: a read with O_DIRECT looks the pages up when it begins and
/// fills them when the disk answers. A scan between the two takes such a page for sent. So while a process may be in such a
/// read (reads_past_page_tables()), it must be frozen for the scan: a thread stops only when its read is done.
///
/// Holes are found only by last_scan(): what was sent and isn't there any more. Private mappings of files are tracked only if
/// they are large; the few changed pages of others are sent while the unit is frozen.
class WriteTracker {
 public:
  /// In a frozen process: makes the userfaultfd there. A private mapping of a file is tracked if this many of its bytes have
  /// changed.
  static Result<WriteTracker> start(const ProcFs& proc, Frozen& frozen, FrozenProcess& process, SpaceId space,
                                    uint64_t tracked_file_bytes = kTrackedFileBytes);
  static constexpr uint64_t kTrackedFileBytes = 256u << 10;

  /// Running: what was written since the last scan; protects it again. New areas are registered and sent whole.
  /// `areas` may be parts of areas, as an earlier look saw them.
  /// Code::kGone: the process ended or replaced its memory by execve(2).
  Result<void> scan(std::span<const MapEntry> areas, ScanResult& out);
  /// Running: what scan() took of these areas can't be believed; the next look takes it again.
  Result<void> distrust(std::span<const MapEntry> areas);
  /// Frozen: all that is still missing at the destination.
  Result<void> last_scan(std::span<const MapEntry> areas, ScanResult& out) const;

 private:
  WriteTracker(const ProcFs& proc, pid_t host_pid, SpaceId space, uint64_t tracked_file_bytes)
      : proc_(&proc), host_pid_(host_pid), space_(space), tracked_file_bytes_(tracked_file_bytes) {}
  Result<std::vector<PageRun>> find_untracked(uint64_t start, uint64_t end) const;
  Result<void> start_tracking(uint64_t address);
  Result<void> forget_old_protection(uint64_t start, uint64_t end);
  Result<void> take_written(const MapEntry& area, std::vector<PageRun>& out);
  Result<void> find_last_anonymous(const MapEntry& area, std::vector<PageRun>& written,
                                   std::vector<PageRun>& missing) const;
  Result<void> find_last_of_file(const MapEntry& area, std::vector<PageRun>& out) const;
  const ProcFs* proc_;
  pid_t host_pid_;
  SpaceId space_;
  uint64_t tracked_file_bytes_;
  Fd uffd_;
  Fd pagemap_;
  PageSet sent_;
};

/// Has it a file open with O_DIRECT? False for one that has ended.
Result<bool> reads_past_page_tables(const ProcFs& proc, pid_t host_pid);

/// The areas that the one at an address may become one with, whatever comes to lie between them: all anonymous ones up to the
/// next file's. A file's area is alone.
std::span<const MapEntry> stretch_around(std::span<const MapEntry> areas, uint64_t address);

}  // namespace godwit::pod
