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
