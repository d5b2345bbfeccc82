// Memory of a unit as page runs: which pages have content of their own, and their bytes.
//
// Private memory is scanned by PAGEMAP_SCAN (Linux 6.7) through /proc/PID/pagemap: a page counts when it is present or
// swapped and is neither the zero page nor an unchanged page of a mapped file. Shared objects are read through a
// descriptor of the object, hole by hole.
//
// WriteTracker finds what was written between two rounds: userfaultfd in WP_ASYNC mode, made inside the process by a
// remote call and taken over with pidfd_getfd; the kernel itself resolves each first write, so nothing waits for us.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/engine.h"
#include "pod/freeze.h"
#include "pod/proc.h"

namespace godwit::pod {

using engine::PageRun;
using engine::SpaceId;

/// Reads page runs of processes (by process_vm_readv) and of shared objects (by pread). Thread-safe once filled.
class MemoryReader : public engine::PageReader {
 public:
  explicit MemoryReader(const ProcFs& proc) : proc_(&proc) {}
  void add_process(SpaceId space, pid_t host_pid) { processes_[space] = host_pid; }
  Result<void> add_object(SpaceId space, Fd object);
  void clear() {
    processes_.clear();
    objects_.clear();
  }
  Result<void> read(std::span<const PageRun> runs, std::span<std::byte> out) override;

 private:
  Result<void> read_process(pid_t host_pid, std::span<const PageRun> runs, std::span<std::byte> out) const;
  Result<void> read_by_page(pid_t host_pid, std::span<const PageRun> runs, std::span<std::byte> out) const;
  const ProcFs* proc_;
  std::map<SpaceId, pid_t> processes_;
  std::map<SpaceId, Fd> objects_;
};

struct ScanResult {
  std::vector<PageRun> pages;  ///< with content to send
  std::vector<PageRun> holes;  ///< were sent before, have no content any more (MADV_DONTNEED, re-mapped)
  uint64_t page_bytes() const;
};

/// All pages with content of one area. `whole_file`: also unchanged pages of the mapped file.
Result<void> scan_area(const Fd& pagemap, SpaceId space, const MapEntry& area, bool whole_file,
                       std::vector<PageRun>& out);
/// The guard regions (MADV_GUARD_INSTALL) of one area; none on kernels that can't tell.
std::vector<PageRun> scan_guards(const Fd& pagemap, SpaceId space, const MapEntry& area);
/// Stretches of a shared object that hold data (SEEK_DATA).
Result<std::vector<PageRun>> scan_object(const Fd& object, SpaceId space, uint64_t size);

/// Pages as sorted, disjoint intervals.
class PageSet {
 public:
  void add(std::span<const PageRun> sorted_runs);
  /// What is in this set and in the sorted runs, as runs of `space`.
  std::vector<PageRun> common(std::span<const PageRun> sorted_runs, SpaceId space) const;

 private:
  std::vector<std::pair<uint64_t, uint64_t>> intervals_;
};

/// Write tracking of the private anonymous memory of one process.
///
/// Holes are found only by last_scan(): what was sent and isn't there any more. Private mappings of files are not tracked
/// (MADV_DONTNEED keeps the write-protection marker of a file's page, so a dropped page would look unchanged); their few
/// changed pages are sent while the unit is frozen, unless they are large.
class WriteTracker {
 public:
  /// In a frozen process: makes the userfaultfd there.
  static Result<WriteTracker> start(const ProcFs& proc, Frozen& frozen, FrozenProcess& process, SpaceId space);

  /// Areas that touch each other, and where the next one begins: up to there the last of them can grow.
  struct Chain {
    uint64_t start = 0, end = 0, room = 0;
  };
  /// Running: what was written since the last scan; protects it again. New areas are registered and sent whole.
  /// `areas` may be parts of areas; chains[i] is what is registered for areas[i], see chain_around().
  /// Code::kGone: the process ended or replaced its memory by execve(2).
  Result<void> scan(std::span<const MapEntry> areas, std::span<const Chain> chains, ScanResult& out);
  /// Frozen: all that is still missing at the destination.
  Result<void> last_scan(std::span<const MapEntry> areas, ScanResult& out);

 private:
  WriteTracker() = default;
  Result<void> scan_tracked(const MapEntry& area, bool protect, std::vector<PageRun>& out);
  Result<void> scan_written_and_missing(const MapEntry& area, std::vector<PageRun>& written,
                                        std::vector<PageRun>& missing);
  bool is_tracked(const MapEntry& area) const;
  bool start_tracking(const MapEntry& area, const Chain& chain);
  SpaceId space_ = 0;
  Fd uffd_;
  Fd pagemap_;
  std::map<uint64_t, uint64_t> tracked_;  ///< start → end of what is registered
  PageSet sent_;
};

/// What write tracking registers for areas[index] (of a running process): all anonymous areas that touch each other, and
/// the room behind them. A registration makes an area unlike its neighbours, so one that covers only a part of what the
/// program mapped in one call keeps the kernel from joining it again after an mprotect(2), and mremap(2) fails on two areas.
WriteTracker::Chain chain_around(std::span<const MapEntry> areas, size_t index);

/// Areas whose private pages travel.
bool is_dumped_privately(const MapEntry& area);
/// [vdso], [vvar], [vsyscall] …: the kernel's own areas.
bool is_kernel_area(const MapEntry& area);

}  // namespace godwit::pod
