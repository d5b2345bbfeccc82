// What the program mapped in one call must be one piece to the kernel again when the program makes it one.
//
// Problem. mprotect(2) of a part splits an area, and mprotect(2) of the whole joins it again; but only if the parts have the same
// anon_vma, the kernel's list of who may map an anonymous page (mm/vma.c, is_mergeable_anon_vma). At the source they have:
// they were one area. Here they are mapped one by one, in several outlines, and written by several threads, and each gets its
// anon_vma at its first write: from the next area if that one has one and differs in its protection at the most, else
// from the one before, else a new one (mm/vma.c, find_mergeable_anon_vma). Two parts that were written before what lies
// between them stay strangers for ever: mremap(2) on both fails with EFAULT, and realloc(3) of a large block with it.
//
// Idea. Each piece gets its anon_vma when it is mapped, from the lowest address to the highest, by a write to one of its pages which
// is dropped again. So it is known here which pieces have the same: a *family*. A family is lost only where a new piece comes
// between two old ones; such chains of areas, when they are small, are made again as one with their content, as soon as an
// outline breaks them: during pre-copy, while the unit still runs, and only for the last change in the freeze.
//
// Limit. A chain with more content than kMostContent is left as it is: copying it would cost more of the freeze than a program
// that re-protects and then moves a block of that size, mapped just while its move began, is worth.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "base/log.h"
#include "pod/memory.h"
#include "pod/restore/area_flags.h"
#include "pod/restore/restorer.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHugePage = 2u << 20;
constexpr uint64_t kMostContent = 64u << 20;
constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, Linux 5.14

// A page whose first write makes no huge page of it where that can be helped: outside of all whole huge pages of the piece.
uint64_t page_to_write(const pb::Area& piece) {
  const uint64_t first_huge = (piece.start() + kHugePage - 1) & ~(kHugePage - 1);
  const uint64_t last_huge = piece.end() & ~(kHugePage - 1);
  const bool starts_huge = piece.start() == first_huge && first_huge < last_huge;
  return starts_huge && last_huge < piece.end() ? last_huge : piece.start();
}

void forget(Families& families, uint64_t start, uint64_t end) {
  auto& pieces = families.pieces;
  auto it = pieces.upper_bound(start);
  if (it != pieces.begin()) --it;
  while (it != pieces.end() && it->first < end) {
    if (it->second.end <= start) {
      ++it;
      continue;
    }
    const auto [from, piece] = *it;
    it = pieces.erase(it);
    if (from < start) pieces[from] = {start, piece.family, piece.vm_flags};
    if (end < piece.end) it = pieces.insert_or_assign(end, piece).first;
  }
}

// What a piece gets that is written the first time. Between two of different families it is one or the other, which depends on
// their protection at that moment: that counts as a new one, so that the chain is made again.
uint32_t family_of(Families& families, const pb::Area& piece) {
  uint32_t before = 0, behind = 0;
  const auto next = families.pieces.lower_bound(piece.end());
  if (next != families.pieces.end() && next->first == piece.end() && next->second.vm_flags == piece.vm_flags())
    behind = next->second.family;
  if (const auto here = families.pieces.lower_bound(piece.start()); here != families.pieces.begin()) {
    const auto& [start, left] = *std::prev(here);
    if (left.end == piece.start() && left.vm_flags == piece.vm_flags()) before = left.family;
  }
  if (before == 0) before = behind;
  if (behind == 0) behind = before;
  return before != 0 && before == behind ? before : ++families.last;
}

bool can_join(const pb::Area& a, const pb::Area& b) {
  return a.end() == b.start() && a.backing() == pb::Area::ANON && b.backing() == pb::Area::ANON && !a.shared() &&
         !b.shared() && a.vm_flags() == b.vm_flags();
}

}  // namespace

void Restorer::found_families(Blank& blank, Batch& batch, std::span<const pb::Area> pieces,
                              std::span<const std::pair<uint64_t, uint64_t>> unmapped) {
  for (const auto& [start, end] : unmapped) forget(blank.families, start, end);
  for (const auto& piece : pieces) forget(blank.families, piece.start(), piece.end());
  for (const auto& piece : pieces) {
    if (piece.backing() != pb::Area::ANON || piece.shared() || (first_protection(piece) & PROT_WRITE) == 0) continue;
    const uint64_t page = page_to_write(piece);
    batch.add(SYS_madvise, page, kPage, kPopulateWrite);
    batch.add(SYS_madvise, page, kPage, MADV_DONTNEED);
    const uint32_t family = family_of(blank.families, piece);
    blank.families.pieces[piece.start()] = {piece.end(), family, piece.vm_flags()};
  }
}

Result<void> Restorer::join_families(Blank& blank, const pb::AddressSpace& space) {
  const auto& areas = space.areas();
  for (int first = 0; first < areas.size();) {
    int last = first;
    while (last + 1 < areas.size() && can_join(areas[last], areas[last + 1])) last++;
    const uint64_t start = areas[first].start(), end = areas[last].end();
    auto it = blank.families.pieces.lower_bound(start);
    const auto strange = [family = it == blank.families.pieces.end() ? 0 : it->second.family](const auto& p) {
      return p.second.family != family;
    };
    const auto behind = blank.families.pieces.lower_bound(end);
    if (std::any_of(it, behind, strange)) {
      TRY_DO(build_as_one(blank, {areas.begin() + first, areas.begin() + last + 1}, space));
    }
    first = last + 1;
  }
  return {};
}

Result<void> Restorer::build_as_one(Blank& blank, const std::vector<pb::Area>& chain, const pb::AddressSpace& space) {
  MapEntry whole;
  whole.start = chain.front().start();
  whole.end = chain.back().end();
  std::vector<PageRun> runs;
  TRY(const Fd pagemap, proc_.open(blank.host_pid, "pagemap", O_RDONLY));
  TRY_DO(scan_area(pagemap, space.id(), whole, false, runs));
  uint64_t bytes = 0;
  for (const auto& run : runs) bytes += run.length;
  if (bytes > kMostContent) {
    log::debug("pid {}: {} MiB in {} areas stay with several anon_vmas", blank.pid, bytes >> 20, chain.size());
    return {};
  }
  std::vector<std::byte> content(bytes);
  size_t at = 0;
  for (const auto& run : runs) {
    TRY_DO(read_memory(proc_, blank.host_pid, run.address, std::span(content).subspan(at, run.length)));
    at += run.length;
  }
  TRY_DO(map_pieces(blank, chain, {{whole.start, whole.end}}));
  at = 0;
  for (const auto& run : runs) {
    TRY_DO(write_memory(proc_, blank.host_pid, run.address, std::span(content).subspan(at, run.length)));
    at += run.length;
  }
  return {};
}

}  // namespace godwit::pod
