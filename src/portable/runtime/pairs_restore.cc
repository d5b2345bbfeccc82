// Makes the socketpairs of an image again.
#include <linux/fcntl.h>

#include "portable/runtime/descriptors.h"

namespace godwit::portable {
namespace {

constexpr uint32_t kDatagrams = 2;
constexpr int kShutRead = 0, kShutWrite = 1;

bool set_all_options(int fd, const SocketImage& image, Line& why) {
  return set_options(fd, image, true, why) && set_options(fd, image, false, why);
}

bool make_both(const godwit_image_descriptor& descriptor, const godwit_image_socket& socket, Line& why) {
  int ends[2];
  const auto fd = static_cast<int>(descriptor.fd);
  const long error = sys(__NR_socketpair, +socket.domain, socket.type | O_NONBLOCK, +socket.protocol, ends);
  if (failed(error)) {
    why << "is one of a socketpair that can't be made here (error " << -error << ")";
    return false;
  }
  if (!place_ends(ends, descriptor)) {
    why << "can't be had here";
    return false;
  }
  const uint64_t one = inode_of(fd), other = inode_of(ends[1]);
  note_made({.kind = GODWIT_FD_PAIR, .id = one, .other = other});
  note_made({.kind = GODWIT_FD_PAIR, .id = other, .other = one});
  begin_filling({.fd = fd,
                 .through = ends[1],
                 .closes = descriptor.same_as == descriptor.fd,
                 .is_socket = true,
                 .resets = (socket.state & GODWIT_SOCKET_RESET) != 0});
  return true;
}

}  // namespace

bool make_pair(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  const auto& image = *reinterpret_cast<const SocketImage*>(detail);
  const auto fd = static_cast<int>(descriptor.fd);
  why << "descriptor " << fd << " ";
  if (!(image.socket.state & GODWIT_SOCKET_SECOND)) {
    return make_both(descriptor, image.socket, why) && set_all_options(fd, image, why);
  }
  begin_filling({.fd = fd, .through = static_cast<int>(descriptor.same_as), .is_socket = true});
  if (claim_end(descriptor)) return set_all_options(fd, image, why);
  why << "is the second of a socketpair that isn't there";
  return false;
}

/// When nothing more is to be written to it. A stream whose other end is closed is shut by that.
bool finish_pair(const godwit_image_descriptor& descriptor, const char* detail, Line&) {
  const auto& socket = reinterpret_cast<const SocketImage*>(detail)->socket;
  const auto fd = static_cast<int>(descriptor.fd);
  set_flags(descriptor);
  const bool alone = descriptor.same_as == descriptor.fd && socket.type != kDatagrams;
  if (socket.state & GODWIT_SOCKET_SHUT_READ && !alone) sys(__NR_shutdown, fd, kShutRead);
  if (socket.state & GODWIT_SOCKET_SHUT_WRITE) sys(__NR_shutdown, fd, kShutWrite);
  if (socket.state & GODWIT_SOCKET_SHUT_WRITE) note_shut(inode_of(fd), kShutWrite);
  return true;
}

}  // namespace godwit::portable
