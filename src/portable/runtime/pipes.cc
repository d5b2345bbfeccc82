// Pipes of which the program has both ends, or of which nobody has the other one any more.
//
// What is in one is copied by tee(2) into a pipe that is made for it, and read from there: the program's own isn't touched. A packet
// (O_DIRECT) stays one, since a read takes one of them at a time.
#include <asm/errno.h>
#include <linux/fcntl.h>

#include "portable/runtime/descriptors.h"
#include "portable/runtime/kernel_message.h"

namespace godwit::portable {
namespace {

constexpr uint32_t kPackets = 00040000;  // O_DIRECT of the neutral family
constexpr long kSetCapacity = 1031, kGetCapacity = 1032;  // F_SETPIPE_SZ, F_GETPIPE_SZ
constexpr long kBytesInIt = 0x541b;  // FIONREAD
constexpr long kNotWaiting = 2;  // SPLICE_F_NONBLOCK

bool is_read_end(const godwit_image_descriptor& descriptor) { return (descriptor.flags & O_ACCMODE) == O_RDONLY; }

/// A copy of what is in it, in a pipe of its own: the end to read it from. -1: `why` has the reason.
int copy_of(int fd, uint64_t bytes, uint64_t capacity, Line& why) {
  int ends[2];
  if (failed(sys(__NR_pipe2, ends, O_NONBLOCK | O_CLOEXEC))) {
    why << "is a pipe with something unread, and there is no descriptor left to look at it";
    return -1;
  }
  const long has = sys(__NR_fcntl, ends[1], kGetCapacity, 0);
  if (has < static_cast<long>(capacity)) sys(__NR_fcntl, ends[1], kSetCapacity, capacity);
  const long copied = sys(__NR_tee, fd, ends[1], static_cast<long>(INT32_MAX), kNotWaiting);
  sys(__NR_close, ends[1]);
  if (copied == static_cast<long>(bytes)) return ends[0];
  sys(__NR_close, ends[0]);
  why << "is a pipe with " << bytes << " unread bytes, which can't be copied (" << copied << ")";
  return -1;
}

/// Each read is a record: all of it, or a packet.
bool keep_content(int copy, const godwit_image_descriptor& descriptor, Line& why) {
  for (;;) {
    uint64_t room = 0;
    char* at = unread_room(room);
    const long got = sys(__NR_read, copy, at, room);
    if (got == -EINTR) continue;
    if (failed(got) || got == 0) return true;  // it doesn't wait
    if (!keep_unread(descriptor, static_cast<uint64_t>(got), why)) return false;
  }
}

}  // namespace

bool read_pipe(godwit_image_descriptor& descriptor, const Made& made, const char* link, godwit_image_pipe& out,
               Line& why) {
  const auto fd = static_cast<int>(descriptor.fd);
  if (const int holder = holder_of(made, link)) {
    why << "is a pipe that process " << holder << " has, too: " << link;
    return false;
  }
  const uint32_t mode = descriptor.flags & O_ACCMODE;
  bool is_second = false, is_one_too_many = mode == O_RDWR;
  for_each_end(GODWIT_FD_PIPE, made.id, [&](godwit_image_descriptor& earlier, void* detail) {
    is_one_too_many = is_one_too_many || (earlier.flags & O_ACCMODE) == mode;
    earlier.same_as = static_cast<uint32_t>(fd);
    descriptor.same_as = +earlier.fd;
    if (descriptor.flags & kPackets) static_cast<godwit_image_pipe*>(detail)->state |= GODWIT_PIPE_PACKETS;
    is_second = true;
  });
  if (is_one_too_many) {
    why << "is a pipe's end that was opened by its name in /proc";
    return false;
  }
  if (!is_second) descriptor.same_as = static_cast<uint32_t>(fd);
  out.capacity = static_cast<uint32_t>(sys(__NR_fcntl, fd, kGetCapacity, 0));
  out.state = (is_second ? GODWIT_PIPE_SECOND : 0) | (descriptor.flags & kPackets ? GODWIT_PIPE_PACKETS : 0);
  return true;
}

bool read_pipe_content(const godwit_image_descriptor& descriptor, const godwit_image_pipe& pipe, Line& why) {
  if (!is_read_end(descriptor)) return true;
  const auto fd = static_cast<int>(descriptor.fd);
  int bytes = 0;
  if (failed(sys(__NR_ioctl, fd, kBytesInIt, &bytes))) {
    why << "is a pipe that can't be looked into";
    return false;
  }
  if (!bytes) return true;
  const int copy = copy_of(fd, static_cast<uint64_t>(bytes), pipe.capacity, why);
  if (copy < 0) return false;
  const bool kept = keep_content(copy, descriptor, why);
  sys(__NR_close, copy);
  return kept;
}

bool make_pipe(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  const auto& pipe = *reinterpret_cast<const godwit_image_pipe*>(detail);
  const auto fd = static_cast<int>(descriptor.fd), other = static_cast<int>(descriptor.same_as);
  why << "descriptor " << fd << " ";
  if (pipe.state & GODWIT_PIPE_SECOND) {
    begin_filling({.fd = fd, .through = is_read_end(descriptor) ? other : -1});
    if (claim_end(descriptor)) return true;
    why << "is the second end of a pipe that isn't there";
    return false;
  }
  int made[2];
  const long packets = pipe.state & GODWIT_PIPE_PACKETS ? native_open_flags(kPackets) : 0;
  if (failed(sys(__NR_pipe2, made, O_NONBLOCK | packets))) {
    why << "is a pipe that can't be made here";
    return false;
  }
  int ends[2] = {made[is_read_end(descriptor) ? 0 : 1], made[is_read_end(descriptor) ? 1 : 0]};
  if (!place_ends(ends, descriptor)) {
    why << "can't be had here";
    return false;
  }
  note_made({.kind = GODWIT_FD_PIPE, .id = inode_of(fd)});
  begin_filling({.fd = fd, .through = ends[1], .closes = other == fd});
  if (sys(__NR_fcntl, fd, kGetCapacity, 0) == static_cast<long>(pipe.capacity)) return true;
  const long error = sys(__NR_fcntl, fd, kSetCapacity, +pipe.capacity);
  if (failed(error)) {
    why << "is a pipe with room for " << pipe.capacity << " bytes, which there can't be here (error " << -error << ")";
  }
  return !failed(error);
}

}  // namespace godwit::portable
