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
#include <asm/mman.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/stat.h>

#include "portable/runtime/descriptors.h"

namespace godwit::portable {
namespace {

constexpr long kSeekSet = 0, kSeekCurrent = 1;
constexpr long kPathFlag = 010000000;  // O_PATH
/// What openat acts on once, and F_GETFL may still show.
constexpr long kOnce = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC;

/// What follows a descriptor in the image.
union Detail {
  char path[GODWIT_IMAGE_PATH_MAX + 1];
  SocketImage socket;
  godwit_image_interest interests[GODWIT_IMAGE_DETAIL_MAX / sizeof(godwit_image_interest)];
};
static_assert(sizeof(Detail) <= GODWIT_IMAGE_DETAIL_MAX);
constexpr uint32_t kMostInterests = GODWIT_IMAGE_DETAIL_MAX / sizeof(godwit_image_interest);

/// As it is written. Others than this program's threads can change what a socket says: each is looked at once.
struct Payload {
  godwit_image_descriptor descriptor;
  Detail detail;
};

struct Found {
  Payload* payload;
  uint64_t dev, ino;
};

Found found[GODWIT_IMAGE_DESCRIPTORS_MAX];
uint32_t found_count;
char* payloads;  ///< one after the other, each at a multiple of 8
uint64_t payloads_used;

bool room_made;

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
bool find_twin(const Found& entry, bool seekable) {
  godwit_image_descriptor& mine = entry.payload->descriptor;
  for (uint32_t i = 0; i < found_count; ++i) {
    const godwit_image_descriptor& earlier = found[i].payload->descriptor;
    if (found[i].dev != entry.dev || found[i].ino != entry.ino || earlier.flags != mine.flags ||
        earlier.offset != mine.offset || earlier.kind == GODWIT_FD_DUPLICATE) {
      continue;
    }
    if (!same_open_file(static_cast<int>(+earlier.fd), static_cast<int>(+mine.fd), seekable, mine.offset)) continue;
    mine.kind = GODWIT_FD_DUPLICATE;
    mine.same_as = +earlier.fd;
    return true;
  }
  return false;
}

/// Bytes of what follows one that isn't a file, and its kind; 0: it can't move, which has been refused.
uint32_t read_special(int fd, uint32_t kind, Detail& detail, uint64_t& size, Refusals& refusals) {
  Text<512> why;
  if (kind == GODWIT_FD_SOCKET) {
    if (read_socket(fd, detail.socket, why)) {
      size = size_of(detail.socket);
      return kind;
    }
  } else if (const int count = read_interests(fd, detail.interests, kMostInterests, why); count >= 0) {
    size = static_cast<uint64_t>(count) * sizeof(godwit_image_interest);
    return kind;
  }
  refusals.add("descriptor ", fd, " ", why.text());
  return 0;
}

/// Its kind, and what follows it; 0: it can't move, which has been refused.
uint32_t read_detail(int fd, const NeutralStat& file, Detail& detail, uint64_t& size, Refusals& refusals) {
  char(&path)[GODWIT_IMAGE_PATH_MAX + 1] = detail.path;
  read_path(fd, path);
  const uint32_t type = file.mode & S_IFMT;
  const char* shown = path[0] ? path : "unknown";
  if (type == S_IFREG || type == S_IFDIR) {
    if (!leads_to(path, file)) {
      refusals.add("descriptor ", fd, " is a file whose name is gone: ", shown);
    } else if (locked(fd)) {
      refusals.add("descriptor ", fd, " holds a lock of ", shown);
    } else {
      size = length_of(path);
      return GODWIT_FD_FILE;
    }
    return 0;
  }
  if (type == S_IFCHR && portable_device(file.rdev) && leads_to(path, file)) {
    size = length_of(path);
    return GODWIT_FD_DEVICE;
  }
  if (fd <= 2) return GODWIT_FD_INHERITED;
  if (type == S_IFSOCK) return read_special(fd, GODWIT_FD_SOCKET, detail, size, refusals);
  if (equal(path, "anon_inode:[eventpoll]")) return read_special(fd, GODWIT_FD_EPOLL, detail, size, refusals);
  refusals.add("descriptor ", fd, " can't move: ", shown);
  return 0;
}

void collect(int fd, Refusals& refusals) {
  NeutralStat file;
  const long flags = sys(__NR_fcntl, fd, F_GETFL, 0);
  if (failed(flags) || failed(native_stat(fd, nullptr, 0, file))) return;
  if (found_count == GODWIT_IMAGE_DESCRIPTORS_MAX || kDescriptorRoom - payloads_used < sizeof(Payload) + 8) {
    refusals.add("more than ", found_count, " descriptors are open");
    return;
  }
  const long offset = sys_seek(fd, 0, kSeekCurrent);
  auto* payload = reinterpret_cast<Payload*>(payloads + payloads_used);
  Found& entry = found[found_count];
  entry = {payload, file.dev, file.ino};
  godwit_image_descriptor& descriptor = payload->descriptor;
  descriptor = {};
  descriptor.fd = static_cast<uint32_t>(fd);
  descriptor.flags = static_cast<uint32_t>(neutral_open_flags(flags & ~kOnce));
  descriptor.close_on_exec = sys(__NR_fcntl, fd, F_GETFD, 0) == 1;
  descriptor.offset = failed(offset) ? 0 : static_cast<uint64_t>(offset);
  uint64_t size = 0;
  if (!find_twin(entry, !failed(offset))) descriptor.kind = read_detail(fd, file, payload->detail, size, refusals);
  if (!descriptor.kind) return;
  descriptor.detail_size = static_cast<uint32_t>(size);
  payloads_used += described_size(descriptor);
  ++found_count;
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
  if (room_made) return;
  room_made = true;
  const long any = sys(__NR_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!failed(any)) sys(__NR_close, put_aside(static_cast<int>(any)));
}

void forget_room_for_own_descriptors() { room_made = false; }

int put_aside(int fd) {
  const long high = sys(__NR_fcntl, fd, F_DUPFD_CLOEXEC, kOwnDescriptors);
  if (failed(high)) return fd;
  sys(__NR_close, fd);
  return static_cast<int>(high);
}

void collect_descriptors(Refusals& refusals, int except_a, int except_b) {
  forget_descriptors();
  forget_usual_options();
  const int64_t room =
      sys_mmap(nullptr, kDescriptorRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
  if (failed(room)) return refusals.add("there is no memory to look at its descriptors");
  payloads = as_pointer<char*>(static_cast<uint64_t>(room));
  if (!ties_are_known())
    refusals.add("it has options that mean something of this machine on more sockets than can be noted");
  const bool looked = for_each_descriptor([&](int fd) {
    if (fd != except_a && fd != except_b) collect(fd, refusals);
  });
  if (!looked) refusals.add("/proc can't be read, so it isn't known which descriptors are open");
}

void write_descriptors(ImageOut& out) {
  for (uint32_t i = 0; i < found_count; ++i) {
    const Payload& payload = *found[i].payload;
    out.put(GODWIT_IMAGE_DESCRIPTOR, 0, &payload, sizeof payload.descriptor + payload.descriptor.detail_size);
  }
  forget_descriptors();
}

void forget_descriptors() {
  if (payloads) sys(__NR_munmap, payloads, kDescriptorRoom);
  payloads = nullptr;
  payloads_used = 0;
  found_count = 0;
}

bool for_each_open(void (*each)(int fd)) { return for_each_descriptor(each); }

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
  const int fd = static_cast<int>(descriptor.fd);
  if (descriptor.kind == GODWIT_FD_SOCKET) hold_address(fd, *reinterpret_cast<const SocketImage*>(detail));
  return descriptor.kind != GODWIT_FD_EPOLL ||
         restore_interests(fd, reinterpret_cast<const godwit_image_interest*>(detail),
                           descriptor.detail_size / sizeof(godwit_image_interest), why);
}

bool publish_descriptor(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  return descriptor.kind != GODWIT_FD_SOCKET ||
         start_listening(static_cast<int>(descriptor.fd), *reinterpret_cast<const SocketImage*>(detail), why);
}

}  // namespace godwit::portable
