// Makes the sockets of an image again.
//
// A path of a UNIX socket is the one thing of them that two processes may share: source and destination can see the same directory, and
// until the commit the name must lead to the source. So the new socket's file waits beside the old one, and takes its place by
// a rename when the commit has come. Binding it needs the very name, because that is what getsockname(2) will say: for that moment
// the old file is aside.
#include <asm/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "portable/runtime/descriptors.h"
#include "portable/runtime/exchange.h"

namespace godwit::portable {
namespace {

constexpr uint32_t kUnix = 1, kStream = 1, kTcp = 6;
constexpr int kSocketLevel = 1, kReuseAddress = 2;
constexpr uint64_t kFamilySize = 2;

/// A file that was made for a name: beside it, or by the name itself when there was none.
struct Name {
  char file[160];
  char wanted[110];
};
Name names[64];
uint32_t names_used;

void add_path(Line& line, const char* path) {
  line.clear();
  line << path;
}

/// Does somebody serve this name? A connection that is made to find out is closed at once.
bool is_served(const uint8_t* address, uint64_t size, uint32_t type) {
  const long probe = sys(__NR_socket, kUnix, type | O_NONBLOCK | O_CLOEXEC, 0);
  if (failed(probe)) return true;
  const long error = sys(__NR_connect, probe, address, size);
  sys(__NR_close, probe);
  return error != -ECONNREFUSED;
}

bool is_taken(const godwit_image_socket& socket, const char* path, const uint8_t* address, Line& why) {
  NeutralStat file;
  if (failed(native_stat(AT_FDCWD, path, 0, file)) || (file.mode & S_IFMT) != S_IFSOCK) {
    why << "was bound to " << path << ", where something else is";
    return true;
  }
  // The source's own, of which this process is the future. It isn't asked: that would be a connection to it.
  if (arrives() && file.dev == socket.dev && file.ino == socket.ino) return false;
  if (!is_served(address, socket.address_size, socket.type)) return false;
  why << "was bound to " << path << ", which is in use here";
  return true;
}

long rename_path(const char* from, const char* to) { return sys(__NR_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0); }

bool bind_name(int fd, const godwit_image_socket& socket, const uint8_t* address, Line& why) {
  const char* path = reinterpret_cast<const char*>(address) + kFamilySize;
  if (names_used == sizeof names / sizeof names[0]) {
    why << "is one UNIX socket with a name too many";
    return false;
  }
  Name& name = names[names_used];
  Line file(name.file, sizeof name.file), wanted(name.wanted, sizeof name.wanted);
  add_path(wanted, path);
  long error = sys(__NR_bind, fd, address, +socket.address_size);
  if (error != -EADDRINUSE) {
    add_path(file, path);
  } else {
    if (is_taken(socket, path, address, why)) return false;
    Text<160> aside;
    aside << path << ".godwit-old";
    add_path(file, path);
    file << ".godwit-new";
    error = rename_path(path, aside.text());
    if (!failed(error)) {
      error = sys(__NR_bind, fd, address, +socket.address_size);
      if (!failed(error)) error = rename_path(path, name.file);
      rename_path(aside.text(), path);
    }
  }
  if (failed(error)) {
    why << "can't be bound to " << path << " (error " << -error << ")";
    return false;
  }
  ++names_used;
  sys(__NR_fchmodat, AT_FDCWD, name.file, +socket.mode);
  return true;
}

bool bind_address(int fd, const SocketImage& image, Line& why) {
  const godwit_image_socket& socket = image.socket;
  alignas(8) uint8_t address[sizeof socket.address + 1] = {};
  carry_address(reinterpret_cast<const char*>(socket.address), reinterpret_cast<char*>(address), socket.address_size,
                To::kNative);
  if (socket.state & GODWIT_SOCKET_NAMED) return bind_name(fd, socket, address, why);
  // Connections that the old one served may linger on this port: they don't count.
  const bool lingers = socket.type == kStream && socket.protocol == kTcp;
  uint32_t reuse = 1, before = 0, size = sizeof before;
  if (lingers) {
    sys(__NR_getsockopt, fd, kSocketLevel, kReuseAddress, &before, &size);
    sys(__NR_setsockopt, fd, kSocketLevel, kReuseAddress, &reuse, sizeof reuse);
  }
  const long error = sys(__NR_bind, fd, address, +socket.address_size);
  if (lingers) sys(__NR_setsockopt, fd, kSocketLevel, kReuseAddress, &before, sizeof before);
  if (!failed(error)) return true;
  add_address(why << "was bound to ", address, socket.address_size);
  if (error == -EADDRINUSE) {
    why << ", which is in use here";
  } else if (error == -EADDRNOTAVAIL) {
    why << ", which is not an address of this machine";
  } else {
    why << ", which can't be had here (error " << -error << ")";
  }
  return false;
}

bool connect_datagrams(int fd, const godwit_image_socket& socket, Line& why) {
  alignas(8) uint8_t peer[sizeof socket.peer + 1] = {};
  carry_address(reinterpret_cast<const char*>(socket.peer), reinterpret_cast<char*>(peer), socket.peer_size,
                To::kNative);
  const long error = sys(__NR_connect, fd, peer, +socket.peer_size);
  if (!failed(error)) return true;
  add_address(why << "sends to ", peer, socket.peer_size);
  why << ", which can't be reached from here (error " << -error << ")";
  return false;
}

bool prepare(int fd, const SocketImage& image, Line& why) {
  const godwit_image_socket& socket = image.socket;
  if (!set_options(fd, image, true, why)) return false;
  if (socket.state & GODWIT_SOCKET_BOUND && !bind_address(fd, image, why)) return false;
  if (!set_options(fd, image, false, why)) return false;
  if (socket.state & GODWIT_SOCKET_CONNECTED && !connect_datagrams(fd, socket, why)) return false;
  if (!(socket.state & GODWIT_SOCKET_LISTENS)) return true;
  const long error = sys(__NR_listen, fd, +socket.backlog);
  if (!failed(error)) {
    note_backlog(fd, socket.backlog);
    return true;
  }
  why << "can't listen here" << (error == -EADDRINUSE ? ": its address is in use" : "") << " (error " << -error << ")";
  return false;
}

}  // namespace

bool make_socket(const godwit_image_descriptor& descriptor, const SocketImage& image, Line& why) {
  why << "descriptor " << descriptor.fd << " ";
  const godwit_image_socket& socket = image.socket;
  const long made = sys(__NR_socket, +socket.domain, socket.type | O_CLOEXEC, +socket.protocol);
  if (failed(made)) {
    why << "is a socket that can't be made here (error " << -made << ")";
    return false;
  }
  if (!prepare(static_cast<int>(made), image, why)) return false;
  sys(__NR_fcntl, made, F_SETFL, native_open_flags(descriptor.flags));
  if (place(static_cast<int>(made), descriptor)) return true;
  why << "can't be had here";
  return false;
}

void publish_names() {
  for (uint32_t i = 0; i < names_used; ++i) {
    if (equal(names[i].file, names[i].wanted)) continue;
    if (const long error = rename_path(names[i].file, names[i].wanted); failed(error)) {
      Text<256> line;
      say(line << "a socket's name, " << names[i].wanted << ", doesn't lead to it (error " << -error << ")");
    }
  }
  names_used = 0;
}

void withdraw_names() {
  for (uint32_t i = 0; i < names_used; ++i) sys(__NR_unlinkat, AT_FDCWD, names[i].file, 0);
  names_used = 0;
}

}  // namespace godwit::portable
