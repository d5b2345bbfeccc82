// cr: UDP sockets bound, connected and with unread datagrams; TCP listeners; options; a netlink socket
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "util/step.h"

namespace {

int loopback(int family, int type, sockaddr_storage* name) {
  int fd = CHECK_FD(socket(family, type | SOCK_CLOEXEC, 0));
  sockaddr_in6 six = {};
  six.sin6_family = AF_INET6;
  six.sin6_addr = in6addr_loopback;
  sockaddr_in four = {};
  four.sin_family = AF_INET;
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* a = family == AF_INET ? reinterpret_cast<sockaddr*>(&four) : reinterpret_cast<sockaddr*>(&six);
  socklen_t size = family == AF_INET ? sizeof four : sizeof six;
  if (bind(fd, a, size) != 0) skip("no loopback device with this family: %s", strerror(errno));
  size = sizeof *name;
  memset(name, 0, sizeof *name);
  MUST(getsockname(fd, reinterpret_cast<sockaddr*>(name), &size));
  return fd;
}
socklen_t size_of(int family) { return family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6); }

void expect(int fd, const char* text, const sockaddr_storage* from, int family) {
  char buffer[64];
  sockaddr_storage a = {};
  socklen_t size = sizeof a;
  pollfd p = {fd, POLLIN, 0};
  CHECK_EQ(poll(&p, 1, 5000), 1);
  CHECK_EQ(recvfrom(fd, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&a), &size), strlen(text));
  CHECK(memcmp(buffer, text, strlen(text)) == 0);
  CHECK(memcmp(&a, from, size_of(family)) == 0);
}

void same_name(int fd, const sockaddr_storage* name, int family) {
  sockaddr_storage now = {};
  socklen_t size = sizeof now;
  MUST(getsockname(fd, reinterpret_cast<sockaddr*>(&now), &size));
  CHECK(memcmp(&now, name, size_of(family)) == 0);
}

}  // namespace

int main() {
  const int family = AF_INET;
  sockaddr_storage a_name, b_name, tcp_name;
  int a = loopback(family, SOCK_DGRAM, &a_name), b = loopback(family, SOCK_DGRAM, &b_name);
  MUST(connect(a, reinterpret_cast<sockaddr*>(&b_name), size_of(family)));
  int listener = loopback(family, SOCK_STREAM, &tcp_name);
  int seven = 7, yes = 1;
  // As servers do: what lingers in TIME_WAIT after this program's end would keep the port from being bound again.
  MUST(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes));
  MUST(setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes));
  MUST(setsockopt(listener, IPPROTO_TCP, TCP_KEEPCNT, &seven, sizeof seven));
  MUST(listen(listener, 13));
  int plain = CHECK_FD(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int links = CHECK_FD(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  CHECK_EQ(send(a, "zero", 4, 0), 4);
  CHECK_EQ(send(a, "", 0, 0), 0);
  ready();
  for (int i = 0; i < steps(); i++) {
    CHECK_EQ(send(a, "next", 4, 0), 4);
    step();
    expect(b, i == 0 ? "zero" : "next", &a_name, family);
    if (i == 0) expect(b, "", &a_name, family);
    same_name(a, &a_name, family);
    same_name(listener, &tcp_name, family);
    note("round %d", i);
  }
  // From here on there is an established connection, which can't be moved: no step() any more.
  MUST(connect(plain, reinterpret_cast<sockaddr*>(&tcp_name), size_of(family)));
  int accepted = CHECK_FD(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  int count = 0;
  socklen_t size = sizeof count;
  MUST(getsockopt(accepted, IPPROTO_TCP, TCP_KEEPCNT, &count, &size));
  CHECK_EQ(count, 7);
  nlmsghdr nothing = {};
  nothing.nlmsg_len = sizeof nothing;
  nothing.nlmsg_type = NLMSG_NOOP;
  CHECK_EQ(send(links, &nothing, sizeof nothing, 0), sizeof nothing);
  finish();
}
