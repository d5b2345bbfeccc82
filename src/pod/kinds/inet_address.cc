#include <arpa/inet.h>

#include <cerrno>
#include <cstring>

#include "pod/kinds/inet_socket.h"

namespace godwit::pod {

Result<InetAddress> InetAddress::parse(const std::string& bytes) {
  InetAddress a;
  sa_family_t family = 0;
  if (bytes.size() >= sizeof(family)) std::memcpy(&family, bytes.data(), sizeof(family));
  if ((family != AF_INET || bytes.size() != sizeof(sockaddr_in)) &&
      (family != AF_INET6 || bytes.size() != sizeof(sockaddr_in6))) {
    return fail(Code::kCorrupt, "an Internet address of family " + std::to_string(family) + " and " +
                                    std::to_string(bytes.size()) + " bytes");
  }
  std::memcpy(&a.storage_, bytes.data(), bytes.size());
  a.length_ = static_cast<socklen_t>(bytes.size());
  return a;
}

Result<InetAddress> InetAddress::of_own(const Fd& socket) {
  InetAddress a;
  a.length_ = sizeof(a.storage_);
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&a.storage_), &a.length_) != 0)
    return fail_errno(errno, "getsockname");
  return a;
}

Result<InetAddress> InetAddress::of_peer(const Fd& socket) {
  InetAddress a;
  a.length_ = sizeof(a.storage_);
  if (::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&a.storage_), &a.length_) != 0)
    return fail_errno(errno, "getpeername");
  return a;
}

InetAddress InetAddress::loopback(int domain, uint16_t port) {
  InetAddress a;
  a.storage_.sin6_family = static_cast<sa_family_t>(domain);
  a.storage_.sin6_port = htons(port);
  if (domain == AF_INET) {
    a.v4().sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.length_ = sizeof(sockaddr_in);
  } else {
    a.storage_.sin6_addr = in6addr_loopback;
    a.length_ = sizeof(sockaddr_in6);
  }
  return a;
}

bool InetAddress::is_wildcard() const {
  if (domain() == AF_INET) return v4().sin_addr.s_addr == 0;
  return IN6_IS_ADDR_UNSPECIFIED(&storage_.sin6_addr);
}

bool InetAddress::is_ipv4() const { return domain() == AF_INET || IN6_IS_ADDR_V4MAPPED(&storage_.sin6_addr); }

void InetAddress::make_wildcard() {
  if (domain() == AF_INET) {
    v4().sin_addr.s_addr = 0;
  } else {
    storage_.sin6_addr = in6addr_any;
  }
}

InetAddress InetAddress::as_plain() const {
  if (domain() == AF_INET || !is_ipv4()) return *this;
  InetAddress a = loopback(AF_INET, port());
  std::memcpy(&a.v4().sin_addr, storage_.sin6_addr.s6_addr + 12, 4);
  return a;
}

InetAddress InetAddress::as_mapped() const {
  if (domain() != AF_INET) return *this;
  InetAddress a = loopback(AF_INET6, port());
  std::memset(&a.storage_.sin6_addr, 0, 10);
  std::memset(a.storage_.sin6_addr.s6_addr + 10, 0xff, 2);
  std::memcpy(a.storage_.sin6_addr.s6_addr + 12, &v4().sin_addr, 4);
  return a;
}

std::string InetAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = "?";
  if (domain() == AF_INET) {
    ::inet_ntop(AF_INET, &v4().sin_addr, buffer, sizeof(buffer));
    return std::string(buffer) + ":" + std::to_string(port());
  }
  ::inet_ntop(AF_INET6, &storage_.sin6_addr, buffer, sizeof(buffer));
  return "[" + std::string(buffer) + "]:" + std::to_string(port());
}

}  // namespace godwit::pod
