// Open files: which of them can move, what is kept of them, and opening them again.
//
// What /proc says of each descriptor is looked at when all threads are at rest. A regular file or directory moves as its path,
// flags and offset, if that path still leads to it; so do the devices that are the same everywhere. 0, 1 and 2, when they
// aren't files, are the connection to whoever started the program, and are taken from whoever restores it. Sockets without a connection
// are made again (sockets.cc), and so are epolls (epoll.cc). Everything else is refused by name, all at once.
//
// Descriptors of the same open file share its offset, so it must be known which do. kcmp(2) answers that; where it is missing
// (qemu, some seccomp filters) the question is put to the file itself: move the offset through one descriptor and see whether
// it has moved for the other; or, where there is no offset, turn O_APPEND over, which means nothing to pipes, sockets and
// terminals. All threads are at rest; another process that shares the file could notice for a few microseconds.
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "portable/runtime/descriptors.h"

namespace godwit::portable {
namespace {

constexpr long kSeekSet = 0, kSeekCurrent = 1;
constexpr long kPathFlag = 010000000;  // O_PATH
/// What openat acts on once, and F_GETFL may still show.
constexpr long kOnce = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC;

struct Found {
  godwit_image_descriptor descriptor;
  uint64_t dev, ino;
};

Found found[GODWIT_IMAGE_DESCRIPTORS_MAX];
uint32_t found_count;

/// What follows a descriptor in the image: one at a time.
union Detail {
  char path[GODWIT_IMAGE_PATH_MAX + 1];
  SocketImage socket;
  godwit_image_interest interests[GODWIT_IMAGE_DETAIL_MAX / sizeof(godwit_image_interest)];
};
static_assert(sizeof(Detail) <= GODWIT_IMAGE_DETAIL_MAX);
constexpr uint32_t kMostInterests = GODWIT_IMAGE_DETAIL_MAX / sizeof(godwit_image_interest);

uint32_t major_of(uint64_t rdev) { return static_cast<uint32_t>(rdev >> 8 & 0xfff); }
uint32_t minor_of(uint64_t rdev) { return static_cast<uint32_t>((rdev & 0xff) | (rdev >> 12 & 0xfff00)); }

bool portable_device(uint64_t rdev) {
  if (major_of(rdev) == 5) return minor_of(rdev) == 0;  // /dev/tty
  if (major_of(rdev) != 1) return false;
  switch (minor_of(rdev)) {
    case 3:  // null
    case 5:  // zero
    case 7:  // full
    case 8:  // random
    case 9: return true;  // urandom
    default: return false;
  }
}

/// The name behind a descriptor; an empty one when it has none.
void read_path(int fd, char (&path)[GODWIT_IMAGE_PATH_MAX + 1]) {
  Text<64> link;
  link << "/proc/thread-self/fd/" << fd;
  const long size = sys(__NR_readlinkat, AT_FDCWD, link.text(), path, GODWIT_IMAGE_PATH_MAX);
  path[failed(size) ? 0 : size] = 0;
}

bool leads_to(const char* path, const NeutralStat& file) {
  NeutralStat there;
  return path[0] == '/' && !failed(native_stat(AT_FDCWD, path, 0, there)) && there.dev == file.dev &&
         there.ino == file.ino;
}

/// Whether a lock of the file is the process's: flock(2) and fcntl(2) locks end when the process does.
bool locked(int fd) {
  Text<64> name;
  name << "/proc/thread-self/fdinfo/" << fd;
  const long info = sys(__NR_openat, AT_FDCWD, name.text(), O_RDONLY | O_CLOEXEC);
  if (failed(info)) return false;
  char text[1024];
  const long size = sys(__NR_read, info, text, sizeof text - 1);
  sys(__NR_close, info);
  text[failed(size) ? 0 : size] = 0;
  for (const char* at = text; *at; ++at) {
    if (after(at, "\nlock:")) return true;
  }
  return false;
}

bool share_offset(int one, int other, uint64_t offset) {
  const long moved = static_cast<long>(offset) + 1;
  if (sys_seek(one, moved, kSeekSet) != moved) return false;
  const bool same = sys_seek(other, 0, kSeekCurrent) == moved;
  sys_seek(one, offset, kSeekSet);
  return same;
}

bool share_flags(int one, int other) {
  const long before = sys(__NR_fcntl, one, F_GETFL, 0);
  sys(__NR_fcntl, one, F_SETFL, before ^ O_APPEND);
  const bool same = (sys(__NR_fcntl, other, F_GETFL, 0) ^ before) & O_APPEND;
  sys(__NR_fcntl, one, F_SETFL, before);
  return same;
}

bool same_open_file(int one, int other, bool seekable, uint64_t offset) {
  const uint32_t pid = own_pid();
  const long order = sys(__NR_kcmp, pid, pid, 0 /* KCMP_FILE */, one, other);
  if (!failed(order)) return order == 0;
  return seekable ? share_offset(one, other, offset) : share_flags(one, other);
}

/// Looks for an earlier descriptor of the same open file.
bool find_twin(Found& entry, bool seekable) {
  for (uint32_t i = 0; i < found_count; ++i) {
    const Found& earlier = found[i];
    if (earlier.dev != entry.dev || earlier.ino != entry.ino || earlier.descriptor.flags != entry.descriptor.flags ||
        earlier.descriptor.offset != entry.descriptor.offset || earlier.descriptor.kind == GODWIT_FD_DUPLICATE) {
      continue;
    }
    if (!same_open_file(static_cast<int>(earlier.descriptor.fd), static_cast<int>(entry.descriptor.fd), seekable,
                        entry.descriptor.offset)) {
      continue;
    }
    entry.descriptor.kind = GODWIT_FD_DUPLICATE;
    entry.descriptor.same_as = earlier.descriptor.fd;
    return true;
  }
  return false;
}

/// Whether it could be saved, or why not.
bool can_move(int fd, uint32_t kind, Refusals& refusals) {
  static Detail detail;
  Text<512> why;
  if (kind == GODWIT_FD_SOCKET ? read_socket(fd, detail.socket, why)
                               : read_interests(fd, detail.interests, kMostInterests, why) >= 0) {
    return true;
  }
  refusals.add("descriptor ", fd, " ", why.text());
  return false;
}

/// Its kind; 0: it can't move, which has been refused.
uint32_t kind_of(int fd, const NeutralStat& file, Refusals& refusals) {
  static char path[GODWIT_IMAGE_PATH_MAX + 1];
  read_path(fd, path);
  const uint32_t type = file.mode & S_IFMT;
  const char* shown = path[0] ? path : "unknown";
  if (type == S_IFREG || type == S_IFDIR) {
    if (!leads_to(path, file)) {
      refusals.add("descriptor ", fd, " is a file whose name is gone: ", shown);
    } else if (locked(fd)) {
      refusals.add("descriptor ", fd, " holds a lock of ", shown);
    } else {
      return GODWIT_FD_FILE;
    }
    return 0;
  }
  if (type == S_IFCHR && portable_device(file.rdev) && leads_to(path, file)) return GODWIT_FD_DEVICE;
  if (fd <= 2) return GODWIT_FD_INHERITED;
  const uint32_t kind = type == S_IFSOCK                        ? GODWIT_FD_SOCKET
                        : equal(path, "anon_inode:[eventpoll]") ? GODWIT_FD_EPOLL
                                                                : 0;
  if (kind) return can_move(fd, kind, refusals) ? kind : 0;
  refusals.add("descriptor ", fd, " can't move: ", shown);
  return 0;
}

void collect(int fd, Refusals& refusals) {
  NeutralStat file;
  const long flags = sys(__NR_fcntl, fd, F_GETFL, 0);
  if (failed(flags) || failed(native_stat(fd, nullptr, 0, file))) return;
  if (found_count == GODWIT_IMAGE_DESCRIPTORS_MAX) {
    refusals.add("more than ", GODWIT_IMAGE_DESCRIPTORS_MAX, " descriptors are open");
    return;
  }
  const long offset = sys_seek(fd, 0, kSeekCurrent);
  Found& entry = found[found_count];
  entry = {};
  entry.dev = file.dev;
  entry.ino = file.ino;
  entry.descriptor.fd = static_cast<uint32_t>(fd);
  entry.descriptor.flags = static_cast<uint32_t>(neutral_open_flags(flags & ~kOnce));
  entry.descriptor.close_on_exec = sys(__NR_fcntl, fd, F_GETFD, 0) == 1;
  entry.descriptor.offset = failed(offset) ? 0 : static_cast<uint64_t>(offset);
  if (!find_twin(entry, !failed(offset))) entry.descriptor.kind = kind_of(fd, file, refusals);
  if (entry.descriptor.kind) ++found_count;
}

struct Entry {
  uint64_t ino;
  int64_t next;
  uint16_t size;
  uint8_t type;
  char name[];
};

/// Calls `each(fd)` for all descriptors that are open, the one used for looking left out.
template <class Each>
bool for_each_descriptor(Each each) {
  const long opened = sys(__NR_openat, AT_FDCWD, "/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (failed(opened)) return false;
  const int directory = put_aside(static_cast<int>(opened));
  alignas(8) char entries[4096];
  for (;;) {
    const long size = sys(__NR_getdents64, directory, entries, sizeof entries);
    if (failed(size) || size == 0) break;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const Entry*>(entries + at);
      at += entry->size;
      const int64_t fd = parse_number(entry->name, GODWIT_IMAGE_FD_MAX);
      if (fd >= 0 && fd != directory) each(static_cast<int>(fd));
    }
  }
  sys(__NR_close, directory);
  return true;
}

}  // namespace

void make_room_for_own_descriptors() {
  const long any = sys(__NR_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!failed(any)) sys(__NR_close, put_aside(static_cast<int>(any)));
}

int put_aside(int fd) {
  const long high = sys(__NR_fcntl, fd, F_DUPFD_CLOEXEC, kOwnDescriptors);
  if (failed(high)) return fd;
  sys(__NR_close, fd);
  return static_cast<int>(high);
}

void collect_descriptors(Refusals& refusals, int except_a, int except_b) {
  found_count = 0;
  const bool looked = for_each_descriptor([&](int fd) {
    if (fd != except_a && fd != except_b) collect(fd, refusals);
  });
  if (!looked) refusals.add("/proc can't be read, so it isn't known which descriptors are open");
}

void write_descriptors(ImageOut& out) {
  static struct {
    godwit_image_descriptor descriptor;
    Detail detail;
  } payload;
  for (uint32_t i = 0; i < found_count; ++i) {
    payload.descriptor = found[i].descriptor;
    const int fd = static_cast<int>(payload.descriptor.fd);
    uint64_t size = 0;
    Text<256> nothing;  // nobody runs: what could be read before can be now
    switch (payload.descriptor.kind) {
      case GODWIT_FD_FILE:
      case GODWIT_FD_DEVICE:
        read_path(fd, payload.detail.path);
        size = length_of(payload.detail.path);
        break;
      case GODWIT_FD_SOCKET:
        if (read_socket(fd, payload.detail.socket, nothing)) size = size_of(payload.detail.socket);
        break;
      case GODWIT_FD_EPOLL: {
        const int count = read_interests(fd, payload.detail.interests, kMostInterests, nothing);
        size = count > 0 ? static_cast<uint64_t>(count) * sizeof(godwit_image_interest) : 0;
        break;
      }
      default: break;
    }
    payload.descriptor.detail_size = static_cast<uint32_t>(size);
    out.put(GODWIT_IMAGE_DESCRIPTOR, 0, &payload, sizeof payload.descriptor + size);
  }
}

void close_foreign_descriptors(int except) {
  // Closing while the directory is read may skip entries, so until none is left.
  for (bool again = true; again;) {
    again = false;
    for_each_descriptor([&](int fd) {
      if (fd <= 2 || fd == except) return;
      if (!failed(sys(__NR_close, fd))) again = true;
    });
  }
}

bool place(int fd, const godwit_image_descriptor& descriptor) {
  const int wanted = static_cast<int>(descriptor.fd);
  if (fd != wanted) {
    if (failed(sys(__NR_dup3, fd, wanted, 0))) return false;
    sys(__NR_close, fd);
  }
  return !failed(sys(__NR_fcntl, wanted, F_SETFD, descriptor.close_on_exec ? 1 : 0));
}

namespace {

bool reopen(const godwit_image_descriptor& descriptor, const char* path, Line& why) {
  const int fd = static_cast<int>(descriptor.fd);
  NeutralStat file;
  if (const long error = native_stat(AT_FDCWD, path, 0, file); failed(error)) {
    why << "descriptor " << fd << " was " << path << ", which isn't here (error " << -error << ")";
    return false;
  }
  const uint32_t type = file.mode & S_IFMT;
  const bool fits = descriptor.kind == GODWIT_FD_DEVICE ? type == S_IFCHR && portable_device(file.rdev)
                                                        : type == S_IFREG || type == S_IFDIR;
  if (!fits) {
    why << "descriptor " << fd << " was " << path << ", which is something else here";
    return false;
  }
  const long flags = (native_open_flags(descriptor.flags) & ~kOnce) | O_NOCTTY;
  const long opened = sys(__NR_openat, AT_FDCWD, path, flags, 0);
  if (failed(opened)) {
    why << "descriptor " << fd << " was " << path << ", which can't be opened (error " << -opened << ")";
    return false;
  }
  if (descriptor.kind == GODWIT_FD_FILE && !(flags & kPathFlag)) {
    sys_seek(opened, descriptor.offset, kSeekSet);
  }
  if (place(static_cast<int>(opened), descriptor)) return true;
  why << "there can't be a descriptor " << fd << " here";
  return false;
}

}  // namespace

bool restore_descriptor(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  const int fd = static_cast<int>(descriptor.fd);
  switch (descriptor.kind) {
    case GODWIT_FD_FILE:
    case GODWIT_FD_DEVICE: return reopen(descriptor, detail, why);
    case GODWIT_FD_SOCKET: return make_socket(descriptor, *reinterpret_cast<const SocketImage*>(detail), why);
    case GODWIT_FD_EPOLL: {
      const long made = sys(__NR_epoll_create1, 0);
      if (!failed(made) && place(static_cast<int>(made), descriptor)) return true;
      why << "descriptor " << fd << " can't be made an epoll";
      return false;
    }
    case GODWIT_FD_INHERITED: {
      if (!failed(sys(__NR_fcntl, fd, F_SETFD, descriptor.close_on_exec ? 1 : 0))) {
        const long flags = sys(__NR_fcntl, fd, F_GETFL, 0);
        if (descriptor.flags & O_NONBLOCK && !(flags & O_NONBLOCK)) sys(__NR_fcntl, fd, F_SETFL, flags | O_NONBLOCK);
        return true;
      }
      const long none = sys(__NR_openat, AT_FDCWD, "/dev/null", O_RDWR);
      return !failed(none) && place(static_cast<int>(none), descriptor);
    }
    default: {
      const long copy = sys(__NR_fcntl, descriptor.same_as, F_DUPFD, 0);
      if (!failed(copy) && place(static_cast<int>(copy), descriptor)) return true;
      why << "descriptor " << fd << " can't be made a duplicate of " << descriptor.same_as;
      return false;
    }
  }
}

bool finish_descriptor(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  if (descriptor.kind != GODWIT_FD_EPOLL) return true;
  return restore_interests(static_cast<int>(descriptor.fd), reinterpret_cast<const godwit_image_interest*>(detail),
                           descriptor.detail_size / sizeof(godwit_image_interest), why);
}

}  // namespace godwit::portable
