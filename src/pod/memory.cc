#include "pod/memory.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "base/sys.h"
#include "pod/kernel_abi.h"
#include "pod/pagemap.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
constexpr size_t kMaxIovecs = 1024;  // IOV_MAX

// An entry of /proc/PID/pagemap (admin-guide/mm/pagemap.rst): bit 63 present, 61 of a file or shared, 56 mapped once only.
bool is_shared_anonymous(uint64_t entry) {
  constexpr uint64_t kPresent = 1ull << 63, kOfFile = 1ull << 61, kMappedOnce = 1ull << 56;
  return (entry & (kPresent | kOfFile | kMappedOnce)) == kPresent;
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

bool travels_whole(const MapEntry& area) {
  if (area.shared || area.inode == 0) return false;
  return area.name.ends_with(" (deleted)") || !area.name.starts_with('/');
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

// process_vm_readv() pins what it reads, and a page that is shared since a fork(2) can't be pinned for long: the kernel
// gives the process a copy first (FOLL_PIN and FAULT_FLAG_UNSHARE, Linux 5.19). A server with a hundred workers would have all
// its memory a hundred times after one pass. /proc/PID/mem reads without pinning, at two thirds of the speed.
Result<void> MemoryReader::read_process(pid_t host_pid, std::span<const PageRun> runs, std::span<std::byte> out) const {
  std::vector<Piece> pieces;
  size_t offset = 0;
  for (const auto& run : runs) {
    pieces.push_back({run.address, out.subspan(offset, run.length), false});
    offset += run.length;
  }
  if (processes_.size() > 1) pieces = split_by_sharing(host_pid, pieces);
  TRY_DO(read_pinned(host_pid, pieces));
  return read_unpinned(host_pid, pieces);
}

std::vector<MemoryReader::Piece> MemoryReader::split_by_sharing(pid_t host_pid, std::span<const Piece> pieces) const {
  std::vector<Piece> out;
  const auto pagemap = proc_->open(host_pid, "pagemap", O_RDONLY);
  std::array<uint64_t, 512> entries;
  for (const auto& piece : pieces) {
    for (size_t at = 0; at < piece.out.size();) {
      const size_t pages = std::min(entries.size(), (piece.out.size() - at) / kPage);
      const auto where = static_cast<off_t>((piece.address + at) / kPage * sizeof(uint64_t));
      const auto got = pagemap ? ::pread(pagemap->get(), entries.data(), pages * sizeof(uint64_t), where) : -1;
      if (got != static_cast<ssize_t>(pages * sizeof(uint64_t))) std::ranges::fill(entries, 0);  // it has ended
      for (size_t i = 0; i < pages; i++, at += kPage) {
        const bool shared = is_shared_anonymous(entries[i]);
        if (at != 0 && out.back().shared == shared)
          out.back().out = {out.back().out.data(), out.back().out.size() + kPage};
        else
          out.push_back({piece.address + at, piece.out.subspan(at, kPage), shared});
      }
    }
  }
  return out;
}

Result<void> MemoryReader::read_pinned(pid_t host_pid, std::span<const Piece> pieces) const {
  std::array<iovec, kMaxIovecs> local, remote;
  for (size_t i = 0; i < pieces.size();) {
    const size_t first = i;
    size_t count = 0, bytes = 0;
    for (; i < pieces.size() && count < kMaxIovecs; i++) {
      if (pieces[i].shared) continue;
      local[count] = {pieces[i].out.data(), pieces[i].out.size()};
      remote[count++] = {reinterpret_cast<void*>(pieces[i].address), pieces[i].out.size()};
      bytes += pieces[i].out.size();
    }
    if (count == 0) break;
    const ssize_t got = ::process_vm_readv(host_pid, local.data(), count, remote.data(), count, 0);
    if (got == static_cast<ssize_t>(bytes)) continue;
    // Some page isn't readable that way (no PROT_READ) or is gone.
    TRY(const Fd mem, open_memory(host_pid));
    for (const auto& piece : pieces.subspan(first, i - first)) {
      if (!piece.shared) read_by_page(mem, piece);
    }
  }
  return {};
}

Result<void> MemoryReader::read_unpinned(pid_t host_pid, std::span<const Piece> pieces) const {
  Fd mem;
  for (const auto& piece : pieces) {
    if (!piece.shared) continue;
    if (!mem.valid()) {
      TRY(mem, open_memory(host_pid));
    }
    const ssize_t got = ::pread(mem.get(), piece.out.data(), piece.out.size(), static_cast<off_t>(piece.address));
    if (got != static_cast<ssize_t>(piece.out.size())) read_by_page(mem, piece);
  }
  return {};
}

// Invalid when the process has ended.
Result<Fd> MemoryReader::open_memory(pid_t host_pid) const {
  auto mem = proc_->open(host_pid, "mem", O_RDONLY);
  if (!mem && mem.error().code == Code::kGone) return Fd();
  return mem;
}

// What is gone is zero.
void MemoryReader::read_by_page(const Fd& mem, const Piece& piece) {
  for (size_t at = 0; at < piece.out.size(); at += kPage) {
    std::byte* page = piece.out.data() + at;
    const ssize_t r = mem.valid() ? ::pread(mem.get(), page, kPage, static_cast<off_t>(piece.address + at)) : 0;
    if (r != static_cast<ssize_t>(kPage)) std::memset(page, 0, kPage);
  }
}

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

}  // namespace godwit::pod
