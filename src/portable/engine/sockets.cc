// Sockets and what else isn't a file, seen from outside: what the program would refuse when it is asked (runtime/sockets.cc), so
// that it needn't be stopped to find out.
#include "portable/engine/sockets.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/sys.h"
#include "pod/kinds/inet_socket.h"
#include "portable/engine/engine.h"
#include "portable/image.h"

namespace godwit::portable {
namespace {

int number(const Fd& socket, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket.get(), SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

/// Somebody at the other end, who can't come along: "with 10.0.0.1:80".
std::optional<std::string> connection_of(const Fd& socket, int domain, int type) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
  const bool has_name = size > sizeof address.ss_family;
  if (type == SOCK_DGRAM && has_name) return std::nullopt;  // it only says where datagrams go
  if (!has_name) return "with a socket that has no name";
  const auto peer = pod::InetAddress::of_peer(socket);
  return domain != AF_UNIX && peer ? "with " + peer->text() : "with a UNIX socket";
}

std::optional<engine::Blocker> look_at(const Fd& socket, const std::string& object) {
  const int domain = number(socket, SO_DOMAIN), type = number(socket, SO_TYPE);
  const int protocol = number(socket, SO_PROTOCOL);
  if (!godwit_socket_is_known(static_cast<uint32_t>(domain), static_cast<uint32_t>(type),
                              static_cast<uint32_t>(protocol)))
    return make_blocker("portable-descriptor", object, fmt::format("a socket of family {} and type {}", domain, type));
  if (const auto connection = connection_of(socket, domain, type))
    return make_blocker("portable-connection", object, *connection);
  pollfd look{socket.get(), POLLIN, 0};
  if (::poll(&look, 1, 0) <= 0) look.revents = 0;
  const bool listens = number(socket, SO_ACCEPTCONN) == 1;
  if ((look.revents & POLLIN) != 0) {
    if (type == SOCK_DGRAM) return make_blocker("portable-unread", object);
    return make_blocker("portable-connection", object, listens ? "it waits to be accepted" : "it has ended");
  }
  if (type != SOCK_DGRAM && !listens && (look.revents & POLLHUP) == 0)
    return make_blocker("portable-connection", object, "it is being made");
  return std::nullopt;
}

}  // namespace

std::optional<engine::Blocker> look_at_special(const Fd& process, int fd, const std::string& link,
                                               const std::string& object) {
  if (link == "anon_inode:[eventpoll]") return std::nullopt;
  if (!link.starts_with("socket:")) return make_blocker("portable-descriptor", object, link);
  const auto ours = sys::pidfd_getfd(process, fd);
  if (ours) return look_at(*ours, object);
  if (ours.error().errnum == EBADF) return std::nullopt;  // closed meanwhile
  return make_blocker("portable-descriptor", object, link);
}

}  // namespace godwit::portable
