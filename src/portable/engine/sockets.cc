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

/// One of a socketpair(2) that the program has made: it has no name, its peer has none, and it was connected by the program itself.
bool is_one_of_a_pair(const Fd& socket, int domain, pid_t main) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  const bool named =
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 || size > sizeof address.ss_family;
  size = sizeof address;
  const bool connected = ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
                         size <= sizeof address.ss_family;
  ucred peer{};
  size = sizeof peer;
  return domain == AF_UNIX && !named && connected &&
         ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == main;
}

std::optional<engine::Blocker> look_at(const Fd& socket, const std::string& object, pid_t main) {
  const int domain = number(socket, SO_DOMAIN), type = number(socket, SO_TYPE);
  const int protocol = number(socket, SO_PROTOCOL);
  if (!godwit_socket_is_known(static_cast<uint32_t>(domain), static_cast<uint32_t>(type),
                              static_cast<uint32_t>(protocol)))
    return make_blocker("portable-descriptor", object, fmt::format("a socket of family {} and type {}", domain, type));
  if (is_one_of_a_pair(socket, domain, main)) return std::nullopt;  // the program knows if both ends are its own
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

void Holders::look_at(pid_t pid) {
  for (const auto& number : proc_.list(pid, "fd").value_or(std::vector<std::string>{})) {
    const auto link = proc_.link(pid, "fd/" + number);
    if (link && (link->starts_with("pipe:") || link->starts_with("socket:"))) found_.emplace(*link, pid);
  }
}

std::optional<pid_t> Holders::of(const std::string& link) {
  if (!looked_) {
    looked_ = true;
    for (const auto& name : sys::list_dir_at(proc_.dir(), ".").value_or(std::vector<std::string>{}))
      if (const pid_t pid = std::atoi(name.c_str()); pid > 0 && pid != main_) look_at(pid);
  }
  const auto at = found_.find(link);
  if (at == found_.end()) return std::nullopt;
  return at->second;
}

bool gives_numbers(const std::string& link) { return link == "anon_inode:[eventfd]" || link == "anon_inode:[timerfd]"; }

std::optional<engine::Blocker> look_at_special(const Fd& process, int fd, const std::string& link,
                                               const std::string& object, Holders& holders) {
  if (link == "anon_inode:[eventpoll]" || gives_numbers(link)) return std::nullopt;
  const bool pipe = link.starts_with("pipe:"), socket = link.starts_with("socket:");
  if (!pipe && !socket) return make_blocker("portable-descriptor", object, link);
  if (const auto holder = pipe ? holders.of(link) : std::nullopt)
    return make_blocker("portable-pipe", object, fmt::format("process {} has {}, too", *holder, link));
  if (pipe) return std::nullopt;
  const auto ours = sys::pidfd_getfd(process, fd);
  if (ours) return look_at(*ours, object, holders.main());
  if (ours.error().errnum == EBADF) return std::nullopt;  // closed meanwhile
  return make_blocker("portable-descriptor", object, link);
}

}  // namespace godwit::portable
