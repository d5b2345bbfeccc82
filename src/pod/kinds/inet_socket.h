// An Internet address as a value.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::pod {

class InetAddress {
 public:
  /// From the bytes of a sockaddr_in or sockaddr_in6; anything else is Code::kCorrupt.
  static Result<InetAddress> parse(const std::string& bytes);
  static Result<InetAddress> of_own(const Fd& socket);
  static Result<InetAddress> of_peer(const Fd& socket);
  static InetAddress loopback(int domain, uint16_t port);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const { return length_; }
  std::string bytes() const { return std::string(reinterpret_cast<const char*>(&storage_), length_); }
  int domain() const { return storage_.sin6_family; }
  uint16_t port() const { return ntohs(storage_.sin6_port); }
  bool is_wildcard() const;
  /// IPv4, or IPv4 mapped into IPv6.
  bool is_ipv4() const;
  void make_wildcard();
  /// A mapped address as plain IPv4; others unchanged. And the other way round.
  InetAddress as_plain() const;
  InetAddress as_mapped() const;
  std::string text() const;

 private:
  const sockaddr_in& v4() const { return reinterpret_cast<const sockaddr_in&>(storage_); }
  sockaddr_in& v4() { return reinterpret_cast<sockaddr_in&>(storage_); }
  sockaddr_in6 storage_{};  ///< sockaddr_in fits in it, and begins with the same family and port
  socklen_t length_ = 0;
};

}  // namespace godwit::pod
