// Open files: which of them can move, and what is kept of them. Opening them again: kinds.cc.
//
// What /proc says of each descriptor is looked at when all threads are at rest. A regular file or directory moves as its path,
// flags and offset, if that path still leads to it; so do the devices that are the same everywhere. 0, 1 and 2, when they
// aren't files, are the connection to whoever started the program, and are taken from whoever restores it. Some others are made again:
// kinds.cc has a table of them. Everything else is refused by name, all at once.
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
#include "portable/runtime/info.h"

namespace godwit::portable {
namespace {

constexpr long kSeekSet = 0, kSeekCurrent = 1;

/// What follows a descriptor in the image.
union Detail {
  char path[GODWIT_IMAGE_PATH_MAX + 1];
  SocketImage socket;
  godwit_image_interest interests[GODWIT_IMAGE_DETAIL_MAX / sizeof(godwit_image_interest)];
  godwit_image_pipe pipe;
  godwit_image_event event;
  godwit_image_timer timer;
};
static_assert(sizeof(Detail) <= GODWIT_IMAGE_DETAIL_MAX);
constexpr uint32_t kMostInterests = GODWIT_IMAGE_DETAIL_MAX / sizeof(godwit_image_interest);

/// As it is written. Others than this program's threads can change what a socket says: each is looked at once.
struct Payload {
  godwit_image_descriptor descriptor;
  Detail detail;
};

Found found[GODWIT_IMAGE_DESCRIPTORS_MAX];
uint32_t found_count;
char* payloads;  ///< one after the other, each at a multiple of 8
uint64_t payloads_used;

bool room_made;

/// The name behind a descriptor; an empty one when it has none.
void read_path(int fd, char (&path)[GODWIT_IMAGE_PATH_MAX + 1]) {
  Text<64> link;
  link << "/proc/thread-self/fd/" << fd;
  read_link(link.text(), path);
}

bool leads_to(const char* path, const NeutralStat& file) {
  NeutralStat there;
  return path[0] == '/' && !failed(native_stat(AT_FDCWD, path, 0, there)) && there.dev == file.dev &&
         there.ino == file.ino;
}

/// Whether a lock of the file is the process's: flock(2) and fcntl(2) locks end when the process does.
bool locked(int fd) {
  bool any = false;
  for_each_info_line(fd, [&](const char* line) {
    any = any || after(line, "lock:");
    return true;
  });
  return any;
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
  godwit_image_descriptor& mine = *entry.descriptor;
  for (uint32_t i = 0; i < found_count; ++i) {
    const godwit_image_descriptor& earlier = *found[i].descriptor;
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

/// What isn't a file, by what the link in /proc and the program's own calls say of it; 0: something that can't move.
uint32_t special_kind(uint32_t type, const char* link, uint64_t ino, Made& made) {
  if (type == S_IFIFO) return find_made(GODWIT_FD_PIPE, ino, made) ? GODWIT_FD_PIPE : 0;
  if (type == S_IFSOCK) return find_made(GODWIT_FD_PAIR, ino, made) ? GODWIT_FD_PAIR : GODWIT_FD_SOCKET;
  if (equal(link, "anon_inode:[eventpoll]")) return GODWIT_FD_EPOLL;
  if (equal(link, "anon_inode:[eventfd]")) return GODWIT_FD_EVENT;
  return equal(link, "anon_inode:[timerfd]") ? GODWIT_FD_TIMER : 0;
}

/// False: it can't move, and `why` says what it is.
bool read_special(godwit_image_descriptor& descriptor, const Made& made, const char* link, Detail& detail,
                  uint64_t& size, Line& why) {
  const auto fd = static_cast<int>(descriptor.fd);
  switch (descriptor.kind) {
    case GODWIT_FD_PIPE: size = sizeof detail.pipe; return read_pipe(descriptor, made, link, detail.pipe, why);
    case GODWIT_FD_EVENT: size = sizeof detail.event; return read_event(fd, link, detail.event, why);
    case GODWIT_FD_TIMER: size = sizeof detail.timer; return read_timer(fd, detail.timer, why);
    case GODWIT_FD_EPOLL: {
      const int count = read_interests(fd, detail.interests, kMostInterests, why);
      size = static_cast<uint64_t>(count) * sizeof(godwit_image_interest);
      return count >= 0;
    }
    default: {
      const bool well = descriptor.kind == GODWIT_FD_PAIR ? read_pair(descriptor, made, link, detail.socket, why)
                                                          : read_socket(fd, detail.socket, why);
      size = size_of(detail.socket);
      return well;
    }
  }
}

/// What is in it, as records behind its own.
bool read_content(const godwit_image_descriptor& descriptor, const Made& made, const Detail& detail, Line& why) {
  if (descriptor.kind == GODWIT_FD_PIPE) return read_pipe_content(descriptor, detail.pipe, why);
  return descriptor.kind != GODWIT_FD_PAIR || read_pair_content(descriptor, made, detail.socket, why);
}

/// A file's kind, and what follows it; 0: it can't move, which has been refused.
uint32_t read_file(int fd, const NeutralStat& file, const char* path, uint64_t& size, Refusals& refusals) {
  if (!leads_to(path, file)) {
    refusals.add("descriptor ", fd, " is a file whose name is gone: ", path[0] ? path : "unknown");
  } else if (locked(fd)) {
    refusals.add("descriptor ", fd, " holds a lock of ", path);
  } else {
    size = length_of(path);
    return GODWIT_FD_FILE;
  }
  return 0;
}

/// Its kind, and what follows it; 0: it can't move, which has been refused.
uint32_t read_detail(godwit_image_descriptor& descriptor, const NeutralStat& file, Made& made, Detail& detail,
                     uint64_t& size, Refusals& refusals) {
  const auto fd = static_cast<int>(descriptor.fd);
  const uint32_t type = file.mode & S_IFMT;
  static char path[sizeof detail.path];
  read_path(fd, path);
  const bool is_file = type == S_IFREG || type == S_IFDIR;
  const bool is_device = type == S_IFCHR && portable_device(file.rdev) && leads_to(path, file);
  if (is_file || is_device) {
    memcpy(detail.path, path, length_of(path) + 1);
    if (is_file) return read_file(fd, file, path, size, refusals);
    size = length_of(path);
    return GODWIT_FD_DEVICE;
  }
  descriptor.kind = special_kind(type, path, file.ino, made);
  const bool own = descriptor.kind == GODWIT_FD_PIPE || descriptor.kind == GODWIT_FD_PAIR;
  if (fd <= 2 && !own) return GODWIT_FD_INHERITED;
  Text<512> why;
  if (!descriptor.kind) {
    why << "can't move: " << (path[0] ? path : "unknown");
  } else if (read_special(descriptor, made, path, detail, size, why)) {
    return descriptor.kind;
  }
  refusals.add("descriptor ", fd, " ", why.text());
  return 0;
}

/// A row of the table, at the end of what is used of the room for payloads.
Found& take_row(uint64_t dev, uint64_t ino) {
  Found& entry = found[found_count];
  entry = {reinterpret_cast<godwit_image_descriptor*>(payloads + payloads_used), dev, ino};
  *entry.descriptor = {};
  return entry;
}

void keep_row(const Found& entry, uint64_t more = 0) {
  payloads_used += described_size(*entry.descriptor) + more;
  ++found_count;
}

void collect(int fd, Refusals& refusals) {
  NeutralStat file;
  const long flags = sys(__NR_fcntl, fd, F_GETFL, 0);
  if (failed(flags) || failed(native_stat(fd, nullptr, 0, file))) return;
  if (found_count == GODWIT_IMAGE_DESCRIPTORS_MAX || kDescriptorRoom - payloads_used < sizeof(Payload) + 8) {
    refusals.add("more than ", found_count, " descriptors are open, or more is unread in them than there is room for");
    return;
  }
  const long offset = sys_seek(fd, 0, kSeekCurrent);
  Found& entry = take_row(file.dev, file.ino);
  godwit_image_descriptor& descriptor = *entry.descriptor;
  Detail& detail = reinterpret_cast<Payload*>(&descriptor)->detail;
  descriptor.fd = static_cast<uint32_t>(fd);
  descriptor.flags = static_cast<uint32_t>(neutral_open_flags(flags & ~kActOnce));
  descriptor.close_on_exec = sys(__NR_fcntl, fd, F_GETFD, 0) == 1;
  descriptor.offset = failed(offset) ? 0 : static_cast<uint64_t>(offset);
  uint64_t size = 0;
  Made made = {};
  if (!find_twin(entry, !failed(offset))) descriptor.kind = read_detail(descriptor, file, made, detail, size, refusals);
  if (!descriptor.kind) return;
  descriptor.detail_size = static_cast<uint32_t>(size);
  keep_row(entry);
  Text<512> why;
  if (!read_content(descriptor, made, detail, why)) refusals.add("descriptor ", fd, " ", why.text());
}

/// Calls `each(fd)` for all descriptors that are open, the one used for looking left out.
template <class Each>
bool for_each_descriptor(Each each) {
  return for_each_number("/proc/thread-self/fd", [&](int fd, int directory) {
    if (fd <= static_cast<int>(GODWIT_IMAGE_FD_MAX) && fd != directory) each(fd);
  });
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
    const godwit_image_descriptor& descriptor = *found[i].descriptor;
    out.put(GODWIT_IMAGE_DESCRIPTOR, 0, &descriptor, sizeof descriptor + descriptor.detail_size);
  }
  forget_descriptors();
}

char* unread_room(uint64_t& room) {
  constexpr uint64_t kBeside = 2048;  // which may come with it
  const uint64_t head = sizeof(godwit_image_descriptor) + 16, left = kDescriptorRoom - payloads_used;
  const bool any = found_count < GODWIT_IMAGE_DESCRIPTORS_MAX && left > head + kBeside;
  room = any ? left - head - kBeside : 0;
  if (room > GODWIT_IMAGE_UNREAD_MAX) room = GODWIT_IMAGE_UNREAD_MAX;
  return payloads + payloads_used + sizeof(godwit_image_descriptor);
}

bool keep_unread(const godwit_image_descriptor& descriptor, uint64_t size, Line& why, const char* beside,
                 uint64_t more) {
  uint64_t room = 0;
  char* bytes = unread_room(room);
  if (size > room) {
    why << "has more unread than there is room for";
    return false;
  }
  const uint64_t padded = (size + 7) & ~UINT64_C(7);
  if (more) memcpy(bytes + padded, beside, more);
  const Found& entry = take_row(0, 0);
  entry.descriptor->kind = GODWIT_FD_UNREAD;
  entry.descriptor->fd = +descriptor.fd;
  entry.descriptor->detail_size = static_cast<uint32_t>(size);
  entry.descriptor->offset = more;
  keep_row(entry, (more + 7) & ~UINT64_C(7));
  return true;
}

uint32_t kept_descriptors() { return found_count; }
void forget_behind(uint32_t count) {
  if (count == found_count) return;
  payloads_used = static_cast<uint64_t>(reinterpret_cast<char*>(found[count].descriptor) - payloads);
  found_count = count;
}
const Found& kept_descriptor(uint32_t index) { return found[index]; }

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

}  // namespace godwit::portable
