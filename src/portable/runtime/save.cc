// Writes an image: a stream, in one pass, from memory that nobody changes because all threads are at rest.
//
// Which pages exist. A page that was never touched is zero, and reading it to find that out would cost a fault each: a first
// thread's stack of 1 GiB has 262144. /proc/self/pagemap says which pages are there, in memory or swapped out (mincore(2)
// wouldn't do: it doesn't know swapped ones). It is tried on pages of our own first, because under qemu the addresses in
// it may be others than the program's. Where it can't be trusted, in shared mappings, whose pages another process may have touched,
// and of the arena's header, without which nothing can be read, pages are read.
#include <asm/errno.h>
#include <asm/mman.h>
#include <linux/fcntl.h>

#include "portable/runtime/hash.h"
#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

// docs/formats/portable-image.md has them as tables.
static_assert(sizeof(godwit_image_header) == 184 && sizeof(godwit_image_record) == 32);
static_assert(sizeof(godwit_image_process) == 24 && sizeof(godwit_image_descriptor) == 32);
static_assert(sizeof(godwit_image_region) == 24 && sizeof(godwit_image_pipe) == 8);
static_assert(sizeof(godwit_image_event) == 16 && sizeof(godwit_image_timer) == 32);

constexpr uint64_t kPresent = UINT64_C(1) << 63, kSwapped = UINT64_C(1) << 62;
constexpr uint64_t kBatch = 512;

int pagemap = -1;

/// Reads the entries of up to kBatch pages. False: not known.
bool read_pagemap(uint64_t address, uint64_t pages, uint64_t* entries) {
  const auto size = static_cast<long>(pages * 8);
  return pagemap >= 0 && sys_pread(pagemap, entries, size, address / GODWIT_PAGE * 8) == size;
}

/// Pages that are absent, then every other one touched, then dropped, must be seen so. Several, and with the bits that are always
/// zero: an emulated processor with another byte order gets the host's bytes here, which may look right by chance.
bool pagemap_is_right() {
  constexpr uint64_t kPages = 16, kAlwaysZero = UINT64_C(7) << 58;
  const uint64_t first = arena_take(kPages * GODWIT_PAGE, PROT_READ | PROT_WRITE, GODWIT_REGION_SHADOW);
  if (!first) return false;
  bool right = true;
  const auto look = [&](uint64_t touched_of_two) {
    uint64_t entries[kPages];
    right = right && read_pagemap(first, kPages, entries);
    for (uint64_t i = 0; right && i < kPages; ++i) {
      const bool present = entries[i] & (kPresent | kSwapped);
      right = present == (i % 2 < touched_of_two) && !(entries[i] & kAlwaysZero);
    }
  };
  look(0);
  for (uint64_t i = 0; i < kPages; i += 2) *as_pointer<volatile char*>(first + i * GODWIT_PAGE) = 1;
  look(1);
  sys(__NR_madvise, first, kPages * GODWIT_PAGE, 4 /* MADV_DONTNEED */);
  look(0);
  arena_give(first, kPages * GODWIT_PAGE);
  return right;
}

/// Not where the order of bytes is another than the machine's may be: under qemu the entries are the machine's.
void open_pagemap() {
  if constexpr (kBigEndian) return;
  const long fd = sys(__NR_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  pagemap = failed(fd) ? -1 : put_aside(static_cast<int>(fd));
  if (pagemap >= 0 && !pagemap_is_right()) {
    sys(__NR_close, pagemap);
    pagemap = -1;
  }
}

bool all_zero(uint64_t start, uint64_t end) {
  for (; start < end && start & 7; ++start) {
    if (*reinterpret_cast<const char*>(start)) return false;
  }
  for (; end - start >= 32; start += 32) {
    const auto* words = reinterpret_cast<const uint64_t*>(start);
    if (words[0] | words[1] | words[2] | words[3]) return false;
  }
  for (; start < end; ++start) {
    if (*reinterpret_cast<const char*>(start)) return false;
  }
  return true;
}

/// Pages of content, one after the other, as one record.
struct Run {
  ImageOut& out;
  uint64_t start = 0, end = 0;

  void add(uint64_t from, uint64_t to) {
    if (from != end || to - start > GODWIT_IMAGE_MEMORY_MAX) {
      flush();
      start = from;
    }
    end = to;
  }
  void flush() {
    if (end > start) out.put(GODWIT_IMAGE_MEMORY, start, reinterpret_cast<const void*>(start), end - start);
    start = end = 0;
  }
};

/// What isn't zero of [start, end). `absent`: pages that the page map doesn't have are zero.
void write_range(ImageOut& out, uint64_t start, uint64_t end, bool absent) {
  static uint64_t entries[kBatch];
  Run run = {out};
  for (uint64_t batch = page_down(start); batch < end && !out.error; batch += kBatch * GODWIT_PAGE) {
    uint64_t pages = (page_up(end) - batch) / GODWIT_PAGE;
    if (pages > kBatch) pages = kBatch;
    const bool known = absent && read_pagemap(batch, pages, entries);
    for (uint64_t i = 0; i < pages; ++i) {
      if (known && !(entries[i] & (kPresent | kSwapped))) continue;
      const uint64_t page = batch + i * GODWIT_PAGE;
      const uint64_t from = page < start ? start : page;
      const uint64_t to = page + GODWIT_PAGE > end ? end : page + GODWIT_PAGE;
      if (!all_zero(from, to)) run.add(from, to);
    }
  }
  run.flush();
}

void write_region(ImageOut& out, const Region& region) {
  uint64_t end = region.start + region.length;
  if (region.kind == GODWIT_REGION_GUARD) return;
  for (const Thread& thread : header().threads) {
    // Nothing above a thread's stack pointer is alive; of others' stacks it isn't known what else lies in their region.
    if (thread.number && region.kind == GODWIT_REGION_STACK && thread.stack == region.start && thread.sp < end) {
      end = page_up(thread.sp);
    }
    if (region.kind != GODWIT_REGION_STACK) break;
  }
  const bool readable = region.protection & PROT_READ;
  if (!readable) sys(__NR_mprotect, region.start, region.length, PROT_READ);
  write_range(out, region.start, end, region.kind != GODWIT_REGION_SHARED);
  if (!readable) sys(__NR_mprotect, region.start, region.length, region.protection);
}

void write_memory(ImageOut& out) {
  write_range(out, godwit_program.data_start, godwit_program.data_end, false);
  write_range(out, godwit_program.arena, godwit_program.arena + kHeaderSize, false);
  const Header& head = header();
  for (uint32_t i = 0; i < head.regions_used; ++i) write_region(out, head.regions[i]);
}

uint64_t table_digest() { return xxh64(header().regions, header().regions_used * sizeof(Region), 0); }

/// The table of regions, and what is in them. False: it wasn't the same afterwards, and nobody could read the image.
bool write_regions(ImageOut& out, bool apart) {
  if (!apart) open_pagemap();  // which takes a region for a moment
  const Header& head = header();
  const uint32_t used = head.regions_used;
  const uint64_t digest = table_digest();
  out.put(GODWIT_IMAGE_REGIONS, 0, head.regions, used * sizeof(Region));
  if (!apart) write_memory(out);
  if (pagemap >= 0) sys(__NR_close, pagemap);
  pagemap = -1;
  return head.regions_used == used && table_digest() == digest;
}

const char* machine() {
#if defined(__x86_64__)
  return "x86_64";
#elif defined(__aarch64__)
  return "aarch64";
#elif defined(__s390x__)
  return "s390x";
#elif defined(__arm__)
  return "armhf";
#else
  return "riscv64";
#endif
}

void write_header(ImageOut& out) {
  godwit_image_header head = {};
  memcpy(head.magic, GODWIT_IMAGE_MAGIC, sizeof head.magic);
  head.version = GODWIT_IMAGE_VERSION;
  head.bytes = sizeof head;
  memcpy(head.family, godwit_program.family, sizeof head.family);
  memcpy(head.signature, godwit_program.signature, sizeof head.signature);
  memcpy(head.name, godwit_program.name, sizeof head.name);
  head.data_start = godwit_program.data_start;
  head.data_end = godwit_program.data_end;
  head.arena = godwit_program.arena;
  head.arena_size = godwit_program.arena_size;
  memcpy(head.machine, machine(), length_of(machine()));
  head.digest = xxh64(&head, offsetof(godwit_image_header, digest), 0);
  out.chain = head.digest;
  out.write(&head, sizeof head);
}

void write_process(ImageOut& out, bool apart) {
  godwit_image_process process = {};
  process.flags = apart ? GODWIT_IMAGE_APART : 0;
  process.pid = header().pid;
  for_each_thread([&](Thread&, Native&) { ++process.threads; });
  process.umask = static_cast<uint32_t>(sys(__NR_umask, 077));
  sys(__NR_umask, process.umask);
  process.saved_at = static_cast<uint64_t>(native_clock(0));
  out.put(GODWIT_IMAGE_PROCESS, 0, &process, sizeof process);
}

void write_end(ImageOut& out) {
  const godwit_image_record end = {GODWIT_IMAGE_END, 0, out.records, 0, out.chain};
  out.write(&end, sizeof end);
}

/// A child would lose its parent. Asked of the kernel, which knows them all.
void refuse_children(Refusals& refusals) {
  KernelInfo info = {};
  constexpr long kAll = 0, kExited = 4, kNoHang = 1, kNoWait = 0x01000000, kAnyKind = 0x40000000;
  const long result = sys(__NR_waitid, kAll, 0, &info, kExited | kNoHang | kNoWait | kAnyKind, nullptr);
  if (result != -ECHILD) refusals.add("the program has a child process");
}

void keep_timers() {
  for (int which = 0; which < 3; ++which) {
    long timer[4] = {};
    sys(__NR_getitimer, which, timer);
    for (int i = 0; i < 4; ++i) header().timers[which][i] = static_cast<uint64_t>(timer[i]);
  }
}

}  // namespace

void ImageOut::write(const void* first, uint64_t length, const void* second, uint64_t more) {
  struct {
    const char* base;
    size_t length;
  } parts[2] = {{static_cast<const char*>(first), static_cast<size_t>(length)},
                {static_cast<const char*>(second), static_cast<size_t>(more)}};
  bytes += length + more;
  while (!error && parts[0].length + parts[1].length) {
    const long written = sys(__NR_writev, fd, parts, 2);
    if (written == -EINTR) continue;
    if (failed(written)) {
      error = written;
      return;
    }
    auto left = static_cast<size_t>(written);
    for (auto& part : parts) {
      const size_t done = left < part.length ? left : part.length;
      part.base += done;
      part.length -= done;
      left -= done;
    }
  }
}

void ImageOut::put(uint32_t type, uint64_t address, const void* payload, uint64_t length) {
  if (error) return;
  const godwit_image_record record = {type, 0, address, length, xxh64(payload, length, 0)};
  chain = xxh64(&record, sizeof record, chain);
  ++records;
  write(&record, sizeof record, payload, length);
}

long save_image(int fd, int own_socket, bool apart, Refusals& refusals) {
  collect_descriptors(refusals, fd, own_socket);
  refuse_children(refusals);
  static char cwd[GODWIT_IMAGE_PATH_MAX];
  const long cwd_size = sys(__NR_getcwd, cwd, sizeof cwd);
  if (failed(cwd_size) || cwd[0] != '/') refusals.add("the working directory has no name any more");
  if (refusals.count()) {
    forget_descriptors();
    return 0;
  }
  clocks_before_save();
  keep_timers();
  sort_held_signals();
  ImageOut out = {.fd = fd, .error = 0, .chain = 0, .records = 0, .bytes = 0};
  write_header(out);
  write_process(out, apart);
  out.put(GODWIT_IMAGE_CWD, 0, cwd, static_cast<uint64_t>(cwd_size) - 1);
  write_descriptors(out);
  if (!write_regions(out, apart)) {
    refusals.add("its table of regions changed while all threads were at rest");
    return 0;
  }
  write_end(out);
  return out.error ? out.error : static_cast<long>(out.bytes);
}

}  // namespace godwit::portable
