// The arena: 128 GiB of addresses that are the same on every architecture, in which all of the program lives but its globals.
//
// A table in the header, sorted by address and without overlap, says what is in use. The kernel's own list of mappings would
// know it as well, but it doesn't move with the unit, and it must not decide where a mapping goes: an address given out here
// must be free everywhere. So the first gap that is large enough is taken, and mapped with MAP_FIXED_NOREPLACE, which fails
// where something native has come to lie in the arena.
//
// Neighbours of the same kind and protection become one row, so that the table grows with holes, not with calls. Operations
// on part of a row first split it at their ends and then see whole rows only.
#include <asm/errno.h>
#include <asm/mman.h>
#include <linux/mman.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

Lock lock;

constexpr long kReadWrite = PROT_READ | PROT_WRITE;

uint64_t first_address() { return godwit_program.arena + kHeaderSize; }
uint64_t end_address() { return godwit_program.arena + godwit_program.arena_size; }

/// What arena_map_again() has mapped.
Region again[kMaxRegions];
uint32_t again_count;

bool map_native(uint64_t start, uint64_t length, long protection, uint32_t kind) {
  // What was reserved is the unit's already; elsewhere nobody may have come to lie there.
  const long flags = (kind == GODWIT_REGION_SHARED ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_NORESERVE |
                     (kNarrow ? MAP_FIXED : MAP_FIXED_NOREPLACE);
  const int64_t got = sys_mmap(start, length, protection, flags);
  if (failed(got)) return false;
  if (static_cast<uint64_t>(got) == start) return true;
  sys(__NR_munmap, got, length);  // a kernel before 4.17 takes the address for a hint
  return false;
}

/// Gives pages back; on a narrow processor only their content, the addresses stay reserved.
long unmap_native(uint64_t start, uint64_t length) {
  if constexpr (!kNarrow) return sys(__NR_munmap, start, length);
  const int64_t got = sys_mmap(start, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED);
  return failed(got) ? static_cast<long>(got) : 0;
}

/// The first row that ends above `address`.
uint32_t row_at(uint64_t address, const Region* rows, uint32_t count) {
  uint32_t low = 0, high = count;
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    if (rows[middle].start + rows[middle].length <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
uint32_t row_at(uint64_t address) { return row_at(address, header().regions, header().regions_used); }

/// The parts of `row` that none of the others has, mapped in the same way.
template <class Each>
void each_uncovered(const Region& row, const Region* others, uint32_t count, Each each) {
  const auto is_shared = [](const Region& region) { return region.kind == GODWIT_REGION_SHARED; };
  uint64_t at = row.start;
  const uint64_t end = row.start + row.length;
  for (uint32_t i = row_at(row.start, others, count); i < count && others[i].start < end; ++i) {
    if (is_shared(others[i]) != is_shared(row)) continue;
    if (others[i].start > at) each(at, others[i].start - at);
    at = others[i].start + others[i].length;
  }
  if (at < end) each(at, end - at);
}

void open_rows(uint32_t index, uint32_t count) {
  Header& head = header();
  memmove(head.regions + index + count, head.regions + index, (head.regions_used - index) * sizeof(Region));
  head.regions_used += count;
}

void close_rows(uint32_t index, uint32_t count) {
  Header& head = header();
  memmove(head.regions + index, head.regions + index + count, (head.regions_used - index - count) * sizeof(Region));
  head.regions_used -= count;
}

bool room_for_rows(uint32_t count) { return header().regions_used + count <= kMaxRegions; }

/// Afterwards no row has `address` inside it. There must be room for a row.
void split_at(uint64_t address) {
  const uint32_t index = row_at(address);
  if (index == header().regions_used || header().regions[index].start >= address) return;
  open_rows(index, 1);
  Region* rows = header().regions + index;
  rows[0].length = address - rows[0].start;
  rows[1].length -= address - rows[1].start;
  rows[1].start = address;
}

bool mergeable(const Region& one, const Region& next) {
  return one.start + one.length == next.start && one.kind == next.kind && one.protection == next.protection &&
         (one.kind == GODWIT_REGION_MAPPED || one.kind == GODWIT_REGION_FILE);
}

/// Makes one row of neighbours that are alike, from the row before `first` to the one after `last`.
void merge_rows(uint32_t first, uint32_t last) {
  Header& head = header();
  if (first) --first;
  for (uint32_t i = last + 1 < head.regions_used ? last + 1 : head.regions_used - 1; i > first && i; --i) {
    if (!mergeable(head.regions[i - 1], head.regions[i])) continue;
    head.regions[i - 1].length += head.regions[i].length;
    close_rows(i, 1);
  }
}

uint64_t find_gap(uint64_t length) {
  const Header& head = header();
  uint64_t at = first_address();
  for (uint32_t i = 0; i < head.regions_used; ++i) {
    if (head.regions[i].start - at >= length) return at;
    at = head.regions[i].start + head.regions[i].length;
  }
  return end_address() - at >= length ? at : 0;
}

void insert_row(const Region& row) {
  const uint32_t index = row_at(row.start);
  open_rows(index, 1);
  header().regions[index] = row;
  merge_rows(index, index);
}

/// Maps and notes `length` bytes at the first gap. 0: no room.
uint64_t take(uint64_t length, uint32_t protection, uint32_t kind) {
  if (!length || !room_for_rows(1)) return 0;
  const uint64_t start = find_gap(length);
  if (!start || !map_native(start, length, protection, kind)) return 0;
  insert_row({start, length, protection, kind});
  return start;
}

bool inside(uint64_t start, uint64_t length) {
  return start >= first_address() && start <= end_address() && length <= end_address() - start;
}

bool own(const Region& row) { return row.kind > GODWIT_REGION_FILE; }

/// Whether the range is the program's to change; with `whole` each of its pages must be mapped.
long check_range(uint64_t start, uint64_t length, bool whole) {
  if (start & (GODWIT_PAGE - 1) || !length) return -EINVAL;
  if (!inside(start, length)) return -ENOMEM;
  uint64_t at = start;
  for (uint32_t i = row_at(start); i < header().regions_used && header().regions[i].start < start + length; ++i) {
    const Region& row = header().regions[i];
    if (own(row)) return -EINVAL;
    if (whole && row.start > at) return -ENOMEM;
    at = row.start + row.length;
  }
  return whole && at < start + length ? -ENOMEM : 0;
}

long unmap(uint64_t start, uint64_t length) {
  if (const long error = check_range(start, length, false)) return error;
  if (!room_for_rows(2)) return -ENOMEM;
  if (const long error = unmap_native(start, length); failed(error)) return error;
  split_at(start);
  split_at(start + length);
  const uint32_t first = row_at(start);
  uint32_t count = 0;
  while (first + count < header().regions_used && header().regions[first + count].start < start + length) ++count;
  close_rows(first, count);
  return 0;
}

/// Fills what was just mapped with the file's bytes; what lies behind its end stays zero.
long read_file(uint64_t start, uint64_t length, long fd, uint64_t offset) {
  for (uint64_t done = 0; done < length;) {
    const long got = sys_pread(fd, start + done, length - done, offset + done);
    if (got == -EINTR) continue;
    if (failed(got)) return got;
    if (got == 0) break;
    done += static_cast<uint64_t>(got);
  }
  return 0;
}

/// Whether a file may be mapped by reading it: its later changes won't be seen, and nothing goes back into it.
long check_file(long fd, bool shared) {
  const long flags = sys(__NR_fcntl, fd, 3 /* F_GETFL */, 0);
  if (failed(flags)) return flags;
  if ((flags & 3) == 1 /* O_WRONLY */) return -EACCES;
  if (failed(sys_seek(fd, 0, 1))) return -ENODEV;
  return shared && (flags & 3) != 0 ? -ENODEV : 0;
}

/// Where a mapping goes: 0 and `address` unchanged when the arena may choose.
long clear_fixed(uint64_t address, uint64_t length, long flags) {
  if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) return 0;
  if (const long error = check_range(address, length, false)) return error;
  const uint32_t index = row_at(address);
  const bool taken = index < header().regions_used && header().regions[index].start < address + length;
  if (!taken) return 0;
  return flags & MAP_FIXED_NOREPLACE ? -EEXIST : unmap(address, length);
}

}  // namespace

Lock& arena_lock() { return lock; }

namespace {

/// Of 32-bit address space an executable claims the arena as a segment (compiler/assemble.cc): nothing lies there, and nothing comes
/// to lie there. It takes no memory until it is used.
void reserve_narrow() {
  if constexpr (!kNarrow) return;
  if (unmap_native(godwit_program.arena, godwit_program.arena_size)) fatal("the arena can't be reserved");
}

}  // namespace

void map_header() {
  reserve_narrow();
  if (!map_native(godwit_program.arena, kHeaderSize, kReadWrite, GODWIT_REGION_MAPPED)) {
    fatal("the arena's addresses, from ", Hex{godwit_program.arena}, " on, aren't free here");
  }
}

uint64_t arena_take(uint64_t length, uint32_t protection, uint32_t kind) {
  Held held(lock);
  return take(page_up(length), protection, kind);
}

void arena_give(uint64_t start, uint64_t length) {
  Held held(lock);
  const uint32_t index = row_at(start);
  if (index == header().regions_used || header().regions[index].start != start ||
      header().regions[index].length != length) {
    fatal("the table of regions has no row for ", Hex{start});
  }
  unmap_native(start, length);
  close_rows(index, 1);
}

bool arena_rows_are_sound(const Region* regions, uint32_t count) {
  uint64_t end = first_address();
  for (uint32_t i = 0; i < count; ++i) {
    const Region& region = regions[i];
    if (region.start < end || region.start > end_address() || region.length > end_address() - region.start ||
        !region.length || (region.start | region.length) & (GODWIT_PAGE - 1) || !region.kind ||
        region.kind > GODWIT_REGION_GUARD || region.protection & ~static_cast<uint32_t>(kReadWrite)) {
      return false;
    }
    end = region.start + region.length;
  }
  return true;
}

bool arena_map_again(const Region* regions, uint32_t count) {
  bool mapped = true;
  for (uint32_t i = 0; i < again_count; ++i) {
    each_uncovered(again[i], regions, count, [](uint64_t start, uint64_t length) { unmap_native(start, length); });
  }
  for (uint32_t i = 0; i < count; ++i) {
    each_uncovered(regions[i], again, again_count, [&](uint64_t start, uint64_t length) {
      mapped = mapped && map_native(start, length, kReadWrite, regions[i].kind);
    });
  }
  memcpy(again, regions, count * sizeof(Region));
  again_count = count;
  return mapped;
}

void arena_protect() {
  const Header& head = header();
  for (uint32_t i = 0; i < head.regions_used; ++i) {
    const Region& row = head.regions[i];
    if (row.protection == kReadWrite) continue;
    if (failed(sys(__NR_mprotect, row.start, row.length, row.protection))) {
      fatal("can't protect ", row.length, " bytes at ", Hex{row.start});
    }
  }
}

// ---- System calls ----

/// The break never moves: a C library then takes its memory by mmap.
int64_t call_brk(Call&) { return static_cast<long>(first_address()); }

int64_t call_mmap(Call& call) {
  const auto address = static_cast<uint64_t>(call.a[0]);
  const uint64_t length = page_up(static_cast<uint64_t>(call.a[1]));
  const long protection = call.a[2], flags = call.a[3], fd = call.a[4];
  const auto offset = static_cast<uint64_t>(call.a[5]);
  const bool shared = (flags & 3) != MAP_PRIVATE, file = !(flags & MAP_ANONYMOUS);
  if (!length || length < static_cast<uint64_t>(call.a[1])) return call.a[1] ? -ENOMEM : -EINVAL;
  if (protection & PROT_EXEC) return -EACCES;  // neutral code can't have made machine code
  if (file) {
    if (offset & (GODWIT_PAGE - 1)) return -EINVAL;
    if (const long error = check_file(fd, shared)) return error;
  }
  const uint32_t kind = file ? GODWIT_REGION_FILE : shared ? GODWIT_REGION_SHARED : GODWIT_REGION_MAPPED;
  const auto wanted = static_cast<uint32_t>(protection & 7);
  const auto at_first = file ? static_cast<uint32_t>(kReadWrite) : wanted;
  uint64_t start = 0;
  {
    Held held(lock);
    if (const long error = clear_fixed(address, length, flags)) return error;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
      if (!room_for_rows(1) || !map_native(address, length, at_first, kind)) return -ENOMEM;
      insert_row({address, length, wanted, kind});
      start = address;
    } else {
      start = take(length, at_first, kind);
      if (!start) return -ENOMEM;
    }
  }
  if (!file) return static_cast<long>(start);
  long error = read_file(start, length, fd, offset);
  if (!error && wanted != kReadWrite) {
    Call protect = {.a = {static_cast<long>(start), static_cast<long>(length), protection}};
    error = call_mprotect(protect);
  }
  if (!error) return static_cast<long>(start);
  Held held(lock);
  unmap(start, length);
  return error;
}

int64_t call_munmap(Call& call) {
  Held held(lock);
  return unmap(static_cast<uint64_t>(call.a[0]), page_up(static_cast<uint64_t>(call.a[1])));
}

int64_t call_mprotect(Call& call) {
  const auto start = static_cast<uint64_t>(call.a[0]), length = page_up(static_cast<uint64_t>(call.a[1]));
  if (call.a[2] & PROT_EXEC) return -EACCES;
  if (!length) return 0;
  Held held(lock);
  if (const long error = check_range(start, length, true)) return error;
  if (!room_for_rows(2)) return -ENOMEM;
  if (const long error = sys(__NR_mprotect, start, length, call.a[2]); failed(error)) return error;
  split_at(start);
  split_at(start + length);
  const uint32_t first = row_at(start);
  uint32_t last = first;
  for (uint32_t i = first; i < header().regions_used && header().regions[i].start < start + length; ++i) {
    header().regions[i].protection = static_cast<uint32_t>(call.a[2] & 7);
    last = i;
  }
  merge_rows(first, last);
  return 0;
}

namespace {

long grow_in_place(uint64_t start, uint64_t old_length, uint64_t length, const Region& like) {
  const uint32_t next = row_at(start + old_length);
  const uint64_t limit = next < header().regions_used ? +header().regions[next].start : end_address();
  if (limit - start < length || !room_for_rows(1)) return -ENOMEM;
  if (!map_native(start + old_length, length - old_length, like.protection, like.kind)) return -ENOMEM;
  insert_row({start + old_length, length - old_length, like.protection, like.kind});
  return static_cast<long>(start);
}

/// Pages move without being copied, unless the kernel has the range as more than one mapping.
long move_mapping(uint64_t start, uint64_t old_length, uint64_t length, const Region& like) {
  const uint64_t target = take(length, like.protection, like.kind);
  if (!target) return -ENOMEM;
  const long moved = sys(__NR_mremap, start, old_length, length, MREMAP_MAYMOVE | MREMAP_FIXED, target);
  if (failed(moved)) {
    if ((like.protection & kReadWrite) != kReadWrite) {
      unmap(target, length);
      return -EFAULT;
    }
    memcpy(reinterpret_cast<void*>(target), reinterpret_cast<const void*>(start), old_length);
  }
  unmap(start, old_length);
  return static_cast<long>(target);
}

}  // namespace

int64_t call_mremap(Call& call) {
  const auto start = static_cast<uint64_t>(call.a[0]);
  const uint64_t old_length = page_up(static_cast<uint64_t>(call.a[1]));
  const uint64_t length = page_up(static_cast<uint64_t>(call.a[2]));
  if (call.a[3] & ~MREMAP_MAYMOVE || !length || !old_length) return -EINVAL;
  Held held(lock);
  if (check_range(start, old_length, true)) return -EFAULT;
  const Region like = header().regions[row_at(start)];
  if (start + old_length > like.start + like.length) return -EFAULT;  // Linux: a range within one mapping
  if (length == old_length) return static_cast<long>(start);
  if (length < old_length) {
    const long error = unmap(start + length, old_length - length);
    return error ? error : static_cast<long>(start);
  }
  if (const long result = grow_in_place(start, old_length, length, like); !failed(result)) return result;
  return call.a[3] & MREMAP_MAYMOVE ? move_mapping(start, old_length, length, like) : -ENOMEM;
}

/// Only what changes content matters; the rest is advice about one machine.
int64_t call_madvise(Call& call) {
  constexpr long kDontNeed = 4, kFree = 8;
  const auto start = static_cast<uint64_t>(call.a[0]), length = page_up(static_cast<uint64_t>(call.a[1]));
  if (start & (GODWIT_PAGE - 1)) return -EINVAL;
  if (!length || (call.a[2] != kDontNeed && call.a[2] != kFree)) return 0;
  Held held(lock);
  if (const long error = check_range(start, length, true)) return error;
  const Region& row = header().regions[row_at(start)];
  if (row.kind != GODWIT_REGION_MAPPED) return 0;  // a file's content, read once, can't come again
  return sys(__NR_madvise, start, length, call.a[2]);
}

}  // namespace godwit::portable
