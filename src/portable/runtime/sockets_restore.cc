// Makes the sockets of an image again.
//
// They have their addresses before the commit, so that one that is in use is found out in time, and listen behind it: until then it
// isn't this process that clients shall find, and whoever came would lose the connection when the restore comes to nothing.
//
// A path of a UNIX socket is the one thing of them that two processes may share: source and destination can see the same directory, and
// until the commit the name must lead to the source. So the new socket's file waits beside the old one, and takes its place by
// a rename when the commit has come. Binding it needs the very name, because that is what getsockname(2) will say: for that moment
// the old file is aside. Nothing of the user's beside it is overwritten.
#include <asm/errno.h>
#include <asm/mman.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/stat.h>
#include <linux/un.h>

#include "portable/runtime/descriptors.h"
#include "portable/runtime/exchange.h"

namespace godwit::portable {
namespace {

constexpr uint32_t kUnix = 1, kStream = 1, kTcp = 6;
constexpr char kAside[] = ".godwit-old", kBeside[] = ".godwit-new";
constexpr int kSocketLevel = 1, kReuseAddress = 2;
constexpr uint64_t kFamilySize = 2;

/// A file that was made for a name: beside it, or by the name itself when there was none.
struct Name {
  char file[160];
  char wanted[110];
};
Name* names;  ///< room for as many as an image can have, used from its begin
uint32_t names_used;
constexpr uint64_t kNamesRoom = uint64_t{GODWIT_IMAGE_DESCRIPTORS_MAX} * sizeof(Name);

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

long rename_path(const char* from, const char* to, uint32_t flags = 0) {
  return sys(__NR_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

/// A socket's file that nobody serves any more.
bool is_dead(const char* path, uint32_t type) {
  NeutralStat file;
  if (failed(native_stat(AT_FDCWD, path, 0, file)) || (file.mode & S_IFMT) != S_IFSOCK) return false;
  sockaddr_un address = {.sun_family = kUnix, .sun_path = {}};
  const size_t length = length_of(path);
  if (length >= sizeof address.sun_path) return false;
  memcpy(address.sun_path, path, length);
  return !is_served(reinterpret_cast<const uint8_t*>(&address), kFamilySize + length + 1, type);
}

/// To a name that nothing has, or that is left of a restore that was killed.
long rename_beside(const char* from, const char* to, uint32_t type) {
  long error = rename_path(from, to, RENAME_NOREPLACE);
  if (error == -EINVAL) {  // a file system without it
    NeutralStat file;
    error = failed(native_stat(AT_FDCWD, to, AT_SYMLINK_NOFOLLOW, file)) ? rename_path(from, to) : -EEXIST;
  }
  return error == -EEXIST && is_dead(to, type) ? rename_path(from, to) : error;
}

/// Where the source's file has the name: binds to the same, and leaves the new file beside it.
bool bind_beside(int fd, const godwit_image_socket& socket, const uint8_t* address, const Name& name, Line& why) {
  Text<sizeof name.file> aside;
  aside << name.wanted << kAside;
  const char* in_the_way = aside.text();
  long error = rename_beside(name.wanted, aside.text(), socket.type);
  if (!failed(error)) {
    error = sys(__NR_bind, fd, address, +socket.address_size);
    if (!failed(error)) {
      in_the_way = name.file;
      error = rename_beside(name.wanted, name.file, socket.type);
      if (failed(error)) sys(__NR_unlinkat, AT_FDCWD, name.wanted, 0);
    }
    // Also when somebody else has taken the name in this moment: theirs stays.
    if (failed(rename_beside(aside.text(), name.wanted, socket.type))) {
      why << "had the name " << name.wanted << ", which somebody else has taken: its file is " << aside.text();
      if (!failed(error)) sys(__NR_unlinkat, AT_FDCWD, name.file, 0);
      return false;
    }
  }
  if (!failed(error)) return true;
  why << "can't be bound to " << name.wanted;
  if (error == -EEXIST) {
    why << ": " << in_the_way << " is in the way";
  } else {
    why << " (error " << -error << ")";
  }
  return false;
}

/// False: there is no memory.
bool have_room_for_names() {
  if (names) return true;
  const int64_t room =
      sys_mmap(nullptr, kNamesRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
  if (!failed(room)) names = as_pointer<Name*>(static_cast<uint64_t>(room));
  return names != nullptr;
}

bool bind_name(int fd, const godwit_image_socket& socket, const uint8_t* address, Line& why) {
  const char* path = reinterpret_cast<const char*>(address) + kFamilySize;
  if (!have_room_for_names() || names_used == GODWIT_IMAGE_DESCRIPTORS_MAX) {
    why << "is one UNIX socket with a name too many";
    return false;
  }
  Name& name = names[names_used];
  Line file(name.file, sizeof name.file), wanted(name.wanted, sizeof name.wanted);
  add_path(wanted, path);
  add_path(file, path);
  const long error = sys(__NR_bind, fd, address, +socket.address_size);
  if (error == -EADDRINUSE) {
    if (is_taken(socket, path, address, why)) return false;
    file << kBeside;
    if (!bind_beside(fd, socket, address, name, why)) return false;
  } else if (failed(error)) {
    why << "can't be bound to " << path << " (error " << -error << ")";
    return false;
  }
  ++names_used;
  sys(__NR_fchmodat, AT_FDCWD, name.file, +socket.mode);
  return true;
}

void forget_names() {
  if (names) sys(__NR_munmap, names, kNamesRoom);
  names = nullptr;
  names_used = 0;
}

bool is_tcp(const godwit_image_socket& socket) { return socket.type == kStream && socket.protocol == kTcp; }

uint32_t reuses(int fd) {
  uint32_t value = 0, size = sizeof value;
  return failed(sys(__NR_getsockopt, fd, kSocketLevel, kReuseAddress, &value, &size)) ? 0 : value;
}
void set_reuse(int fd, uint32_t value) { sys(__NR_setsockopt, fd, kSocketLevel, kReuseAddress, &value, sizeof value); }

bool bind_address(int fd, const SocketImage& image, Line& why) {
  const godwit_image_socket& socket = image.socket;
  alignas(8) uint8_t address[sizeof socket.address + 1] = {};
  carry_address(reinterpret_cast<const char*>(socket.address), reinterpret_cast<char*>(address), socket.address_size,
                To::kNative);
  if (socket.state & GODWIT_SOCKET_NAMED) return bind_name(fd, socket, address, why);
  // Connections that the old one served may linger on this port: they don't count, neither here nor where it listens.
  const uint32_t before = reuses(fd);
  if (is_tcp(socket)) set_reuse(fd, 1);
  const long error = sys(__NR_bind, fd, address, +socket.address_size);
  if (is_tcp(socket)) set_reuse(fd, before);
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

/// What the program had set.
uint32_t reuse_of(const SocketImage& image) {
  for (uint32_t i = 0; i < image.socket.options; ++i) {
    const godwit_image_option& option = image.options[i];
    if (option.level == kSocketLevel && option.name == kReuseAddress) return static_cast<uint32_t>(option.value);
  }
  return 0;
}

bool prepare(int fd, const SocketImage& image, Line& why) {
  const godwit_image_socket& socket = image.socket;
  if (!set_options(fd, image, true, why)) return false;
  if (socket.state & GODWIT_SOCKET_BOUND && !bind_address(fd, image, why)) return false;
  if (!set_options(fd, image, false, why)) return false;
  return !(socket.state & GODWIT_SOCKET_CONNECTED) || connect_datagrams(fd, socket, why);
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

void hold_address(int fd, const SocketImage& image) {
  if (image.socket.state & GODWIT_SOCKET_LISTENS && is_tcp(image.socket)) set_reuse(fd, 0);
}

bool start_listening(int fd, const SocketImage& image, Line& why) {
  const godwit_image_socket& socket = image.socket;
  if (!(socket.state & GODWIT_SOCKET_LISTENS)) return true;
  if (is_tcp(socket)) set_reuse(fd, 1);
  const long error = sys(__NR_listen, fd, +socket.backlog);
  if (is_tcp(socket)) set_reuse(fd, reuse_of(image));
  if (!failed(error)) {
    note_backlog(fd, socket.backlog);
    return true;
  }
  why << "descriptor " << fd << " can't listen here" << (error == -EADDRINUSE ? ": its address is in use" : "")
      << " (error " << -error << ")";
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
  forget_names();
}

void withdraw_names() {
  for (uint32_t i = 0; i < names_used; ++i) sys(__NR_unlinkat, AT_FDCWD, names[i].file, 0);
  forget_names();
}

}  // namespace godwit::portable
