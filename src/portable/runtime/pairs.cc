// Socketpairs of which the program has both ends, or of which nobody has the other one any more.
//
// The kernel doesn't tell which two are one (sock_diag does, but not under qemu), so that is noted (made.cc). What is unread is looked
// at with MSG_PEEK: all of a stream at once, messages one after the other by SO_PEEK_OFF. Where there is no such option (qemu), they
// are taken out and sent again by the other end, which nobody else can do meanwhile, because all threads are at rest.
#include <asm/errno.h>
#include <linux/fcntl.h>

#include "portable/runtime/descriptors.h"
#include "portable/runtime/info.h"
#include "portable/runtime/kernel_message.h"

namespace godwit::portable {
namespace {

constexpr uint32_t kUnix = 1, kStream = 1, kDatagrams = 2;
constexpr int kSocketLevel = 1, kPeekOffset = 42;
constexpr int16_t kIn = 1, kError = 8, kNoMore = 0x2000;  // POLLRDHUP
constexpr long kBytesInIt = 0x541b;  // FIONREAD
constexpr uint64_t kFamilySize = 2;
constexpr uint64_t kMostRights = 253;  // SCM_MAX_FD

bool has_no_name(int fd, long call) {
  uint8_t address[128];
  uint32_t size = sizeof address;
  return !failed(sys(call, fd, address, &size)) && size <= kFamilySize;
}

/// Where peeking begins. A program's own setting is put back.
class PeekOffset {
 public:
  explicit PeekOffset(int fd) : fd_(fd) {
    uint32_t size = sizeof before_;
    known_ = !failed(sys(__NR_getsockopt, fd, kSocketLevel, kPeekOffset, &before_, &size)) && set(0);
  }
  PeekOffset(const PeekOffset&) = delete;
  PeekOffset& operator=(const PeekOffset&) = delete;
  ~PeekOffset() {
    if (known_) set(before_);
  }
  [[nodiscard]] bool is_known() const { return known_; }

 private:
  bool set(int value) const {
    return !failed(sys(__NR_setsockopt, fd_, kSocketLevel, kPeekOffset, &value, sizeof value));
  }
  int fd_;
  int before_ = -1;
  bool known_ = false;
};

/// What comes with a message.
struct Control {
  alignas(8) char bytes[1280];
  size_t used;
};
static_assert(sizeof(Control::bytes) >= sizeof(ControlHead) + kMostRights * sizeof(int) + 64);

/// Calls `each(fd)` for the descriptors that are passed.
template <class Each>
void for_each_right(const Control& control, Each each) {
  for (size_t at = 0; at + sizeof(ControlHead) <= control.used;) {
    const auto& head = *reinterpret_cast<const ControlHead*>(control.bytes + at);
    if (head.length < sizeof head || head.length > control.used - at) return;
    if (head.level == kSocketLevel && head.type == kControlRights) {
      for (size_t i = sizeof head; i + sizeof(int) <= head.length; i += sizeof(int)) {
        each(*reinterpret_cast<const int*>(control.bytes + at + i));
      }
    }
    at += (head.length + sizeof(long) - 1) & ~(sizeof(long) - 1);
  }
}

/// Bytes of a message; -errno. Passed descriptors are this process's, too, then.
long receive(int fd, char* to, uint64_t room, long flags, Control& control) {
  Vector vector = {to, static_cast<size_t>(room)};
  Message message = {nullptr, 0, &vector, 1, control.bytes, sizeof control.bytes, 0};
  long got = 0;
  do got = sys(__NR_recvmsg, fd, &message, flags | kAtOnce | kControlCloseOnExec);
  while (got == -EINTR);
  control.used = failed(got) ? 0 : message.control_length;
  return !failed(got) && message.flags & kCutShort ? -EMSGSIZE : got;
}

bool close_rights(const Control& control) {
  bool any = false;
  for_each_right(control, [&](int fd) {
    any = true;
    sys(__NR_close, fd);
  });
  return any;
}

bool refuse_rights(Line& why) {
  why << "is one of a socketpair with descriptors on their way";
  return false;
}

bool keep_stream(const godwit_image_descriptor& descriptor, Line& why) {
  const auto fd = static_cast<int>(descriptor.fd);
  int bytes = 0;
  if (failed(sys(__NR_ioctl, fd, kBytesInIt, &bytes)) || bytes <= 0) return true;
  const PeekOffset at_its_begin(fd);
  static Control control;
  uint64_t room = 0;
  char* at = unread_room(room);
  const long got = receive(fd, at, room, kPeek, control);
  if (close_rights(control)) return refuse_rights(why);
  if (got == bytes) return keep_unread(descriptor, static_cast<uint64_t>(got), why);
  why << "is one of a socketpair with " << bytes << " unread bytes, which can't all be looked at (" << got << ")";
  return false;
}

bool keep_messages_by_peeking(const godwit_image_descriptor& descriptor, const godwit_image_socket& socket,
                              bool& has_empty, Line& why) {
  const auto fd = static_cast<int>(descriptor.fd);
  int64_t left = 0;
  if (socket.type != kDatagrams) {
    int bytes = 0;
    sys(__NR_ioctl, fd, kBytesInIt, &bytes);
    left = bytes;
  }
  static Control control;
  for (;;) {
    uint64_t room = 0;
    char* at = unread_room(room);
    const long got = receive(fd, at, room, kPeek, control);
    if (close_rights(control)) return refuse_rights(why);
    if (got == -EAGAIN) return true;
    if (failed(got)) {
      why << "is one of a socketpair with messages that can't be looked at (error " << -got << ")";
      return false;
    }
    // Nothing is what a message of zero bytes looks like, and the end of a connection.
    left -= got;
    if (!got && left <= 0 && socket.state & GODWIT_SOCKET_SHUT_READ && socket.type != kDatagrams) return true;
    if (!keep_unread(descriptor, static_cast<uint64_t>(got), why)) return false;
    has_empty = has_empty || !got;
  }
}

/// The descriptor at the other end; -1: it is closed.
int open_end_of(uint64_t inode) {
  int found = -1;
  for_each_number("/proc/thread-self/fd", [&](int fd, int directory) {
    if (fd != directory && found < 0 && inode_of(fd) == inode) found = fd;
  });
  return found;
}

/// Bytes of the first message, which stays where it is; -errno.
long length_of_first(int fd) {
  constexpr long kWholeLength = 0x20;  // MSG_TRUNC
  char byte = 0;
  Vector vector = {&byte, 1};
  Message message = {nullptr, 0, &vector, 1, nullptr, 0, 0};
  return sys(__NR_recvmsg, fd, &message, kPeek | kWholeLength | kAtOnce);
}

/// Takes all messages out, with what comes with them. False: one can't be looked at, or couldn't be sent again; it stays where it is.
bool take_messages(const godwit_image_descriptor& descriptor, uint64_t most, bool& has_rights, Line& why) {
  const auto fd = static_cast<int>(descriptor.fd);
  static Control control;
  for (;;) {
    uint64_t room = 0;
    char* at = unread_room(room);
    const long size = length_of_first(fd);
    if (size == -EAGAIN) return true;
    const bool fits = !failed(size) && static_cast<uint64_t>(size) <= (room < most ? room : most);
    const long got = fits ? receive(fd, at, room, 0, control) : -EMSGSIZE;
    if (failed(got)) {
      why << "is one of a socketpair with messages that can't be looked at (error " << -got << ")";
      return false;
    }
    bool rights = false;
    for_each_right(control, [&](int) { rights = true; });
    has_rights = has_rights || rights;
    keep_unread(descriptor, static_cast<uint64_t>(got), why, control.bytes, rights ? control.used : 0);
  }
}

void send_again(int other, char* bytes, uint64_t size, char* beside, uint64_t more) {
  Vector vector = {bytes, static_cast<size_t>(size)};
  const Message message = {nullptr, 0, &vector, 1, more ? beside : nullptr, static_cast<size_t>(more), 0};
  const long sent = sys(__NR_sendmsg, other, &message, kAtOnce | kNoSignal);
  if (failed(sent)) fatal("a message that was taken out of a socketpair can't be put back: error ", -sent);
  static Control control;
  control.used = static_cast<size_t>(more);
  memcpy(control.bytes, beside, control.used);
  close_rights(control);
}

/// As records behind those that there are `from`.
bool turn_messages(const godwit_image_descriptor& descriptor, int other, bool& has_rights, Line& why) {
  constexpr uint32_t kOverhead = 32;  // of the largest message that a buffer takes
  const uint32_t from = kept_descriptors(), before = enlarge_send_buffer(other), most = send_buffer_of(other);
  const bool all = take_messages(descriptor, most > kOverhead ? most - kOverhead : 0, has_rights, why);
  for_each_unread(from, [&](char* bytes, uint64_t size, char* beside, uint64_t more) {
    send_again(other, bytes, size, beside, more);
  });
  put_send_buffer_back(other, before);
  return all;
}

bool keep_messages_by_turning(const godwit_image_descriptor& descriptor, uint64_t other_inode, Line& why) {
  const int other = open_end_of(other_inode);
  if (other < 0 || poll_now(static_cast<int>(descriptor.fd)) & kNoMore) {
    why << "is one of a socketpair with messages of an end that is closed, which can't be looked at here";
    return false;
  }
  bool has_rights = false;
  const bool all = turn_messages(descriptor, other, has_rights, why);
  return all && has_rights ? refuse_rights(why) : all;
}

/// A message of zero bytes that was peeked at isn't seen a second time: the kernel marks it. Those are sent again by the other end.
void renew_messages(const godwit_image_descriptor& descriptor, uint64_t other_inode) {
  const int other = open_end_of(other_inode);
  if (other < 0 || poll_now(static_cast<int>(descriptor.fd)) & kNoMore) return;
  bool has_rights = false;
  Text<200> unused;
  const uint32_t before = kept_descriptors();
  turn_messages(descriptor, other, has_rights, unused);
  forget_behind(before);
}

bool is_sound_pair(int fd, const godwit_image_socket& socket, Line& why) {
  if (socket.domain != kUnix || !godwit_socket_is_known(socket.domain, socket.type, socket.protocol)) {
    why << "is a socketpair of family " << socket.domain << " and type " << socket.type << ", which can't move";
  } else if (!has_no_name(fd, __NR_getsockname)) {
    why << "is one of a socketpair, and has got a name";
  } else if (!has_no_name(fd, __NR_getpeername)) {
    why << "was one of a socketpair, and isn't connected with the other any more";
  } else {
    return true;
  }
  return false;
}

bool is_held_elsewhere(const Made& made, const char* link, Line& why) {
  Text<64> other;
  other << "socket:[" << made.other << "]";
  int holder = holder_of(made, link);
  if (!holder) holder = holder_of(made, other.text());
  if (holder) why << "is one of a socketpair that process " << holder << " has, too";
  return holder != 0;
}

}  // namespace

bool read_pair(godwit_image_descriptor& descriptor, const Made& made, const char* link, SocketImage& out, Line& why) {
  const auto fd = static_cast<int>(descriptor.fd);
  memset(&out, 0, sizeof out);
  godwit_image_socket& socket = out.socket;
  read_socket_kind(fd, socket);
  if (is_held_elsewhere(made, link, why) || !is_sound_pair(fd, socket, why)) return false;
  descriptor.same_as = static_cast<uint32_t>(fd);
  for_each_end(GODWIT_FD_PAIR, made.other, [&](godwit_image_descriptor& earlier, void*) {
    earlier.same_as = static_cast<uint32_t>(fd);
    descriptor.same_as = +earlier.fd;
    socket.state |= GODWIT_SOCKET_SECOND;
  });
  const int16_t found = poll_now(fd);
  if (found & kNoMore) socket.state |= GODWIT_SOCKET_SHUT_READ;
  if (socket.type == kDatagrams && made.shut & 2) socket.state |= GODWIT_SOCKET_SHUT_WRITE;
  if (found & kError) {
    if (socket.type == kDatagrams) {
      why << "is one of a socketpair with an error that wasn't asked for yet";
      return false;
    }
    socket.state |= GODWIT_SOCKET_RESET;
  }
  const int options = read_options(fd, socket, out.options);
  socket.options = static_cast<uint32_t>(options < 0 ? 0 : options);
  if (options < 0) why << "is a socket, and there is no descriptor left to compare it with a new one";
  return options >= 0;
}

bool read_pair_content(const godwit_image_descriptor& descriptor, const Made& made, const SocketImage& image,
                       Line& why) {
  const auto fd = static_cast<int>(descriptor.fd);
  if (!(poll_now(fd) & kIn)) return true;
  if (image.socket.type == kStream) return keep_stream(descriptor, why);
  bool has_empty = false;
  {
    const PeekOffset at_its_begin(fd);
    if (!at_its_begin.is_known()) return keep_messages_by_turning(descriptor, made.other, why);
    if (!keep_messages_by_peeking(descriptor, image.socket, has_empty, why)) return false;
  }
  if (has_empty) renew_messages(descriptor, made.other);
  return true;
}

}  // namespace godwit::portable
