// Memory of a unit as page runs: which pages have content of their own, and their bytes.
//
// Private memory is scanned by PAGEMAP_SCAN (Linux 6.7) through /proc/PID/pagemap: a page counts when it is present or
// swapped and is neither the zero page nor an unchanged page of a mapped file. Shared objects are read through a
// descriptor of the object, hole by hole.
// What was written between two looks: write_tracker.h.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/engine.h"
#include "pod/proc.h"

namespace godwit::pod {

using engine::PageRun;
using engine::SpaceId;

/// Reads page runs of processes (by process_vm_readv, or by /proc/PID/mem where that would unshare them) and of shared objects
/// (by pread). Thread-safe once filled.
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
  struct Piece {
    uint64_t address;
    std::span<std::byte> out;
    bool shared;  ///< with another process since a fork(2)
  };
  Result<void> read_process(pid_t host_pid, std::span<const PageRun> runs, std::span<std::byte> out) const;
  std::vector<Piece> split_by_sharing(pid_t host_pid, std::span<const Piece> pieces) const;
  Result<void> read_pinned(pid_t host_pid, std::span<const Piece> pieces) const;
  Result<void> read_unpinned(pid_t host_pid, std::span<const Piece> pieces) const;
  Result<Fd> open_memory(pid_t host_pid) const;
  static void read_by_page(const Fd& mem, const Piece& piece);
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

/// Areas whose private pages travel.
bool is_dumped_privately(const MapEntry& area);
/// A private mapping of a file that nobody else could map (deleted, or of no path): all of its pages travel.
bool travels_whole(const MapEntry& area);
/// [vdso], [vvar], [vsyscall] …: the kernel's own areas.
bool is_kernel_area(const MapEntry& area);

}  // namespace godwit::pod
