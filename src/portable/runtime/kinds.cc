// The kinds of descriptors that an image may have, and how each is made again.
//
// To add one: a kind in image.h and docs/formats/portable-image.md, a file that reads and makes it, special_kind() in descriptors.cc,
// what a reader may believe of it in details.cc, a row here; and what the engine sees of it from outside, engine/sockets.cc.
#include <asm/errno.h>
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "portable/runtime/descriptors.h"

namespace godwit::portable {
namespace {

constexpr long kSeekSet = 0;
constexpr long kPathFlag = 010000000;  // O_PATH

uint32_t major_of(uint64_t rdev) { return static_cast<uint32_t>(rdev >> 8 & 0xfff); }
uint32_t minor_of(uint64_t rdev) { return static_cast<uint32_t>((rdev & 0xff) | (rdev >> 12 & 0xfff00)); }

}  // namespace

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
  const long flags = (native_open_flags(descriptor.flags) & ~kActOnce) | O_NOCTTY;
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

bool take_over(const godwit_image_descriptor& descriptor, const char*, Line&) {
  const auto fd = static_cast<int>(descriptor.fd);
  if (!failed(sys(__NR_fcntl, fd, F_SETFD, descriptor.close_on_exec ? 1 : 0))) {
    const long flags = sys(__NR_fcntl, fd, F_GETFL, 0);
    if (descriptor.flags & O_NONBLOCK && !(flags & O_NONBLOCK)) sys(__NR_fcntl, fd, F_SETFL, flags | O_NONBLOCK);
    return true;
  }
  const long none = sys(__NR_openat, AT_FDCWD, "/dev/null", O_RDWR);
  return !failed(none) && place(static_cast<int>(none), descriptor);
}

bool duplicate(const godwit_image_descriptor& descriptor, const char*, Line& why) {
  const long copy = sys(__NR_fcntl, +descriptor.same_as, F_DUPFD, 0);
  if (!failed(copy) && place(static_cast<int>(copy), descriptor)) return true;
  why << "descriptor " << descriptor.fd << " can't be made a duplicate of " << descriptor.same_as;
  return false;
}

bool make_socket_of(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  return make_socket(descriptor, *reinterpret_cast<const SocketImage*>(detail), why);
}

bool hold_its_address(const godwit_image_descriptor& descriptor, const char* detail, Line&) {
  hold_address(static_cast<int>(descriptor.fd), *reinterpret_cast<const SocketImage*>(detail));
  return true;
}

bool let_it_listen(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  return start_listening(static_cast<int>(descriptor.fd), *reinterpret_cast<const SocketImage*>(detail), why);
}

bool give_flags(const godwit_image_descriptor& descriptor, const char*, Line&) {
  set_flags(descriptor);
  return true;
}

using Step = bool (*)(const godwit_image_descriptor&, const char*, Line&);

struct Kind {
  uint32_t kind;
  Step make;
  Step finish = nullptr;  ///< when all are there
  Step publish = nullptr;  ///< behind the commit
};

constexpr Kind kKinds[] = {
    {GODWIT_FD_FILE, reopen},
    {GODWIT_FD_DEVICE, reopen},
    {GODWIT_FD_INHERITED, take_over},
    {GODWIT_FD_DUPLICATE, duplicate},
    {GODWIT_FD_SOCKET, make_socket_of, hold_its_address, let_it_listen},
    {GODWIT_FD_EPOLL, make_epoll, finish_epoll},
    {GODWIT_FD_PIPE, make_pipe, give_flags},
    {GODWIT_FD_PAIR, make_pair, finish_pair},
    {GODWIT_FD_UNREAD, put_unread},
    {GODWIT_FD_EVENT, make_event},
    {GODWIT_FD_TIMER, make_timer, nullptr, arm_timer},
};

bool take_step(Step Kind::* step, const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  for (const Kind& kind : kKinds) {
    if (kind.kind == descriptor.kind) return !(kind.*step) || (kind.*step)(descriptor, detail, why);
  }
  return false;  // details.cc knows no other
}

}  // namespace

bool place(int fd, const godwit_image_descriptor& descriptor) {
  const int wanted = static_cast<int>(descriptor.fd);
  if (fd != wanted) {
    if (failed(sys(__NR_dup3, fd, wanted, 0))) return false;
    sys(__NR_close, fd);
  }
  return !failed(sys(__NR_fcntl, wanted, F_SETFD, descriptor.close_on_exec ? 1 : 0));
}

void set_flags(const godwit_image_descriptor& descriptor) {
  sys(__NR_fcntl, +descriptor.fd, F_SETFL, native_open_flags(descriptor.flags));
}

bool restore_descriptor(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  return take_step(&Kind::make, descriptor, detail, why);
}

bool finish_descriptor(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  return take_step(&Kind::finish, descriptor, detail, why);
}

bool publish_descriptor(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  return take_step(&Kind::publish, descriptor, detail, why);
}

}  // namespace godwit::portable
