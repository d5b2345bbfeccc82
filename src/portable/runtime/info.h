// What /proc says of descriptors: the lines of fdinfo, and the entries of a directory.
#pragma once

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {

/// The number behind a name in a line of fdinfo. False: it isn't there.
bool info_field(const char* line, const char* name, uint32_t base, uint64_t& value);

/// Calls `each(line)` for the lines of a file; false when it can't be read, or `each` was false.
template <class Each>
bool for_each_line(const char* name, Each each) {
  const long file = sys(__NR_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
  if (failed(file)) return false;
  char line[256], bytes[1024];
  size_t used = 0;
  bool well = true;
  while (well) {
    const long got = sys(__NR_read, file, bytes, sizeof bytes);
    if (got == -EINTR) continue;
    well = !failed(got);
    if (got <= 0) break;
    for (long i = 0; well && i < got; ++i) {
      if (bytes[i] != '\n') {
        if (used + 1 < sizeof line) line[used++] = bytes[i];
        continue;
      }
      line[used] = 0;
      used = 0;
      well = each(line);
    }
  }
  sys(__NR_close, file);
  return well;
}

/// Of a descriptor of this process.
template <class Each>
bool for_each_info_line(int fd, Each each) {
  Text<64> name;
  name << "/proc/thread-self/fdinfo/" << fd;
  return for_each_line(name.text(), each);
}

/// One field of a descriptor of this process.
bool read_info_field(int fd, const char* name, uint32_t base, uint64_t& value);

/// The name behind a link of /proc; an empty one when it has none, or may not be read.
template <size_t kRoom>
void read_link(const char* link, char (&name)[kRoom]) {
  const long size = sys(__NR_readlinkat, AT_FDCWD, link, name, kRoom - 1);
  name[failed(size) ? 0 : size] = 0;
}

struct DirectoryEntry {
  uint64_t ino;
  int64_t next;
  uint16_t size;
  uint8_t type;
  char name[];
};

/// Calls `each(number, directory)` for the entries of a directory that are numbers. False: it can't be read.
template <class Each>
bool for_each_number(const char* name, Each each) {
  const long opened = sys(__NR_openat, AT_FDCWD, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (failed(opened)) return false;
  const int directory = put_aside(static_cast<int>(opened));
  alignas(8) char entries[4096];
  for (;;) {
    const long size = sys(__NR_getdents64, directory, entries, sizeof entries);
    if (failed(size) || size == 0) break;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const DirectoryEntry*>(entries + at);
      at += entry->size;
      const int64_t number = parse_number(entry->name, INT32_MAX);
      if (number >= 0) each(static_cast<int>(number), directory);
    }
  }
  sys(__NR_close, directory);
  return true;
}

}  // namespace godwit::portable
