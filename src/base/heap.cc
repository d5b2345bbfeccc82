#include "base/heap.h"

#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <string>

#include "base/io.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace godwit {

void keep_freed_memory() {
  constexpr int kKept = 16 << 20, kAtOnce = 1 << 20, kLargest = 32 << 20;
  ::mallopt(M_TRIM_THRESHOLD, kKept);
  ::mallopt(M_TOP_PAD, kAtOnce);
  ::mallopt(M_MMAP_THRESHOLD, kLargest);
}

void own_heap() {
  const auto maps = io::read_file("/proc/self/maps");
  if (!maps) return;
  // The first of several areas, where it has grown after a fork. They end at the break.
  const size_t name = maps->find("[heap]\n");
  if (name == std::string::npos) return;
  const size_t line = maps->rfind('\n', name) + 1;  // of the first line: npos + 1
  uint64_t start = 0;
  if (std::from_chars(maps->data() + line, maps->data() + name, start, 16).ec != std::errc()) return;
  const auto end = reinterpret_cast<uint64_t>(::sbrk(0));
  if (end > start) (void)::madvise(reinterpret_cast<void*>(start), end - start, MADV_POPULATE_WRITE);
}

}  // namespace godwit
