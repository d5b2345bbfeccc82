// Sockets of which nobody outside would notice that they moved: bound, listening, and those of datagrams.
//
// They are found with system calls that every emulator has, so there is no sock_diag here. A connection is refused by name, and
// so is one that waits to be accepted, or datagrams that weren't read: poll(2) tells of both.
//
// What the kernel doesn't tell of one is noted when the program says it: sockets_noted.cc.
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "portable/runtime/descriptors.h"
#include "portable/runtime/exchange.h"

namespace godwit::portable {
namespace {

constexpr uint32_t kUnix = 1, kInet = 2, kInet6 = 10;
constexpr uint32_t kDatagrams = 2;
constexpr int kSocketLevel = 1, kType = 3, kAccepts = 30, kProtocol = 38, kDomain = 39;
constexpr int16_t kIn = 1, kError = 8, kHangUp = 16, kNoMore = 0x2000;  // POLLRDHUP
constexpr uint64_t kFamilySize = 2;

uint32_t number_option(int fd, int name) {
  uint32_t value = 0, size = sizeof value;
  return failed(sys(__NR_getsockopt, fd, kSocketLevel, name, &value, &size)) ? ~0u : value;
}

/// What is under way on it, and would be lost.
bool is_quiet(int fd, const godwit_image_socket& socket, Line& why) {
  const int16_t found = poll_now(fd);
  const bool listens = socket.state & GODWIT_SOCKET_LISTENS, connects = socket.type != kDatagrams;
  if (found & kIn) {
    why << (listens    ? "has connections that weren't accepted yet"
            : connects ? "was a connection, which has ended"
                       : "has datagrams that weren't read yet");
  } else if (connects && found & kError) {
    why << "has an error that wasn't asked for yet";
  } else if (connects && !listens && !(found & kHangUp)) {
    why << "is being connected";
  } else {
    return true;
  }
  return false;
}

/// Behind a path of full length the kernel counts a zero, and doesn't take it from anybody.
uint32_t without_zero(uint32_t size) { return size > GODWIT_ADDRESS_MAX_UNIX ? GODWIT_ADDRESS_MAX_UNIX : size; }

bool read_peer(int fd, godwit_image_socket& socket, Line& why) {
  uint8_t peer[sizeof socket.peer] = {};
  uint32_t size = sizeof peer;
  if (failed(sys(__NR_getpeername, fd, peer, &size))) return true;
  if (socket.domain == kUnix) size = without_zero(size);
  if (socket.type != kDatagrams || size <= kFamilySize || size > sizeof peer) {
    why << "is connected";
    if (size > kFamilySize && size <= sizeof peer) add_address(why << " with ", peer, size);
    return false;
  }
  socket.state |= GODWIT_SOCKET_CONNECTED;
  socket.peer_size = size;
  carry_address(reinterpret_cast<const char*>(peer), reinterpret_cast<char*>(socket.peer), size, To::kNeutral);
  return true;
}

/// A path must still lead to a socket: to this one, as far as can be seen.
bool read_name(const char* path, godwit_image_socket& socket, Line& why) {
  NeutralStat file;
  if (failed(native_stat(AT_FDCWD, path, 0, file)) || (file.mode & S_IFMT) != S_IFSOCK) {
    why << "is bound to " << path << ", which doesn't lead to it any more";
    return false;
  }
  socket.state |= GODWIT_SOCKET_NAMED;
  socket.mode = file.mode & 07777;
  socket.dev = file.dev;
  socket.ino = file.ino;
  return true;
}

bool read_own_address(int fd, godwit_image_socket& socket, Line& why) {
  uint8_t address[sizeof socket.address + 1] = {};
  uint32_t size = sizeof socket.address;
  if (failed(sys(__NR_getsockname, fd, address, &size)) || size > sizeof socket.address) {
    why << "has an address that can't be read";
    return false;
  }
  if (socket.domain == kUnix) size = without_zero(size);
  uint8_t any = 0;
  const uint64_t said = socket.domain == kUnix ? kFamilySize : size;  // of an Internet address zeros say nothing
  for (uint64_t i = kFamilySize; i < said; ++i) any |= address[i];
  if (socket.domain == kUnix ? size <= kFamilySize : !any) return true;
  socket.state |= GODWIT_SOCKET_BOUND;
  socket.address_size = size;
  carry_address(reinterpret_cast<const char*>(address), reinterpret_cast<char*>(socket.address), size, To::kNeutral);
  if (socket.domain != kUnix || !address[kFamilySize]) return true;
  return read_name(reinterpret_cast<const char*>(address) + kFamilySize, socket, why);
}

void add_digits(Line& line, uint32_t value, uint32_t base) {
  char digits[12] = {};
  int at = sizeof digits - 1;
  do digits[--at] = "0123456789abcdef"[value % base];
  while (value /= base);
  line.add_bytes(digits + at, sizeof digits);
}

}  // namespace

int16_t poll_now(int fd) {
  struct {
    int fd;
    int16_t events, found;
  } look = {fd, kIn | kNoMore, 0};
  const Timespec at_once = {0, 0};
  return failed(sys(__NR_ppoll, &look, 1, &at_once, nullptr, 8)) ? kError : look.found;
}

void read_socket_kind(int fd, godwit_image_socket& socket) {
  socket.domain = number_option(fd, kDomain);
  socket.type = number_option(fd, kType);
  socket.protocol = number_option(fd, kProtocol);
}

void add_address(Line& line, const uint8_t* address, uint64_t size) {
  uint16_t family = 0;
  memcpy(&family, address, sizeof family);
  const uint32_t port = static_cast<uint32_t>(address[2]) << 8 | address[3];
  if (family == kInet && size >= 8) {
    for (int i = 4; i < 8; ++i) add_digits(line << (i > 4 ? "." : ""), address[i], 10);
    line << ":" << port;
  } else if (family == kInet6 && size >= 24) {
    line << "[";
    for (int i = 8; i < 24; i += 2) {
      add_digits(line << (i > 8 ? ":" : ""), static_cast<uint32_t>(address[i]) << 8 | address[i + 1], 16);
    }
    line << "]:" << port;
  } else if (family == kUnix && size > kFamilySize) {
    const bool abstract = !address[kFamilySize];
    line << (abstract ? "@" : "");
    const uint64_t from = kFamilySize + (abstract ? 1 : 0);
    line.add_bytes(reinterpret_cast<const char*>(address) + from, size - from);
  }
}

bool read_socket(int fd, SocketImage& out, Line& why) {
  memset(&out, 0, sizeof out);
  godwit_image_socket& socket = out.socket;
  read_socket_kind(fd, socket);
  if (!godwit_socket_is_known(socket.domain, socket.type, socket.protocol)) {
    why << "is a socket of family " << socket.domain << " and type " << socket.type << ", which can't move";
    return false;
  }
  const uint64_t inode = inode_of(fd);
  if (const int tie = noted_tie(inode); tie >= 0) {
    why << "is a socket whose option " << tie << " was set, which means something of this machine only";
    return false;
  }
  if (!read_peer(fd, socket, why)) return false;
  if (number_option(fd, kAccepts) == 1) {
    socket.state |= GODWIT_SOCKET_LISTENS;
    socket.backlog = noted_backlog(inode);
  }
  if (!is_quiet(fd, socket, why) || !read_own_address(fd, socket, why)) return false;
  const int options = read_options(fd, socket, out.options);
  socket.options = static_cast<uint32_t>(options < 0 ? 0 : options);
  if (options < 0) why << "is a socket, and there is no descriptor left to compare it with a new one";
  return options >= 0;
}

}  // namespace godwit::portable
