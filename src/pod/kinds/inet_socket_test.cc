#include "pod/kinds/inet_socket.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "pod/kinds/fake_context_test.h"
#include "pod/kinds/socket_options.h"

namespace godwit::pod::test {
namespace {

Fd socket_on_loopback(int domain, int type, bool bind = true) {
  Fd fd(::socket(domain, type | SOCK_CLOEXEC, 0));
  const auto address = InetAddress::loopback(domain, 0);
  if (bind) {
    EXPECT_EQ(::bind(fd.get(), address.get(), address.length()), 0) << std::strerror(errno);
  }
  return fd;
}
int connect_to(const Fd& fd, const InetAddress& to) { return ::connect(fd.get(), to.get(), to.length()); }
std::string receive(int fd, InetAddress* from = nullptr) {
  char data[128];
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  pollfd wait{fd, POLLIN, 0};
  ::poll(&wait, 1, 1000);
  const ssize_t n = ::recvfrom(fd, data, sizeof(data), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&address), &length);
  if (n < 0) return std::string("errno ") + ::strerrorname_np(errno);
  if (from != nullptr) *from = *InetAddress::parse(std::string(reinterpret_cast<char*>(&address), length));
  return std::string(data, static_cast<size_t>(n));
}

TEST(InetSocket, keeps_a_listener_with_its_options) {
  for (const int domain : {AF_INET, AF_INET6}) {
    Fd listener = socket_on_loopback(domain, SOCK_STREAM);
    ASSERT_OK(set_int_option(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 7));
    ASSERT_OK(set_int_option(listener, IPPROTO_TCP, TCP_NODELAY, 1));
    ASSERT_OK(set_int_option(listener, SOL_SOCKET, SO_KEEPALIVE, 1));
    ASSERT_EQ(::listen(listener.get(), 17), 0);
    const auto address = *InetAddress::of_own(listener);
    const int deferred = *int_option(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT);
    FakeTree tree;
    const FileId id = tree.add(listener.get());
    const auto files = tree.dump();
    ASSERT_OK(files);
    ASSERT_TRUE(tree.blockers.empty());
    tree.discard();
    listener.reset();
    FakeRestore restored(tree);
    ASSERT_OK(restored.run(*files));
    const Fd copy = *sys::dup(restored.fd(id));
    EXPECT_EQ(InetAddress::of_own(copy)->text(), address.text());
    EXPECT_EQ(*int_option(copy, IPPROTO_TCP, TCP_DEFER_ACCEPT), deferred);
    EXPECT_EQ(*int_option(copy, IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(*int_option(copy, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(*int_option(copy, SOL_SOCKET, SO_REUSEADDR), 0);
    tcp_info info{};
    socklen_t length = sizeof(info);
    ASSERT_EQ(::getsockopt(copy.get(), IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    EXPECT_EQ(info.tcpi_sacked, 17u);
    Fd client = socket_on_loopback(domain, SOCK_STREAM, false);
    EXPECT_EQ(connect_to(client, address), 0);
  }
}

TEST(InetSocket, keeps_udp_peers_and_unread_datagrams) {
  for (const int domain : {AF_INET, AF_INET6}) {
    Fd a = socket_on_loopback(domain, SOCK_DGRAM), b = socket_on_loopback(domain, SOCK_DGRAM),
       gone = socket_on_loopback(domain, SOCK_DGRAM);
    const auto of_a = *InetAddress::of_own(a), of_b = *InetAddress::of_own(b), of_gone = *InetAddress::of_own(gone);
    ASSERT_EQ(connect_to(a, of_b), 0);
    ASSERT_EQ(connect_to(gone, of_b), 0);
    ASSERT_EQ(::send(a.get(), "from a", 6, 0), 6);
    ASSERT_EQ(::send(a.get(), "", 0, 0), 0);
    ASSERT_EQ(::send(gone.get(), "from one that is gone", 21, 0), 21);
    gone.reset();
    FakeTree tree;
    const FileId ia = tree.add(a.get()), ib = tree.add(b.get());
    const auto files = tree.dump();
    ASSERT_OK(files);
    ASSERT_TRUE(tree.blockers.empty());
    tree.discard();
    a.reset();
    b.reset();
    FakeRestore restored(tree);
    ASSERT_OK(restored.run(*files));
    InetAddress from;
    EXPECT_EQ(receive(restored.fd(ib), &from), "from a");
    EXPECT_EQ(from.text(), of_a.text());
    EXPECT_EQ(receive(restored.fd(ib), &from), "");
    if (::geteuid() == 0) {
      EXPECT_EQ(receive(restored.fd(ib), &from), "from one that is gone");
      EXPECT_EQ(from.text(), of_gone.text());
    }
    ASSERT_EQ(::send(restored.fd(ia), "more", 4, 0), 4);
    EXPECT_EQ(receive(restored.fd(ib)), "more");
  }
}

TEST(InetSocket, refuses_an_established_connection_or_carries_it_closed) {
  Fd listener = socket_on_loopback(AF_INET, SOCK_STREAM);
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  Fd client = socket_on_loopback(AF_INET, SOCK_STREAM, false),
     waiting = socket_on_loopback(AF_INET, SOCK_STREAM, false);
  ASSERT_EQ(connect_to(client, *InetAddress::of_own(listener)), 0);
  const Fd accepted(::accept(listener.get(), nullptr, nullptr));
  {
    FakeTree tree;
    tree.add(accepted.get());
    ASSERT_OK(tree.dump());
    EXPECT_TRUE(tree.refused("tcp-established"));
  }
  ASSERT_EQ(connect_to(waiting, *InetAddress::of_own(listener)), 0);
  {
    FakeTree tree;
    tree.add(listener.get());
    ASSERT_OK(tree.dump());
    EXPECT_TRUE(tree.refused("tcp-established"));
  }
  FakeTree tree;
  tree.closing = true;
  const FileId id = tree.add(accepted.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(receive(restored.fd(id)), "errno ECONNRESET");
  EXPECT_EQ(receive(restored.fd(id)), "");
}

TEST(InetSocket, keeps_an_unbound_socket_and_dual_stack_settings) {
  Fd fresh(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_OK(set_int_option(fresh, IPPROTO_IPV6, IPV6_V6ONLY, 1));
  FakeTree tree;
  const FileId id = tree.add(fresh.get());
  DUMP_AND_RESTORE(tree, restored);
  const Fd copy = *sys::dup(restored.fd(id));
  EXPECT_EQ(*int_option(copy, IPPROTO_IPV6, IPV6_V6ONLY), 1);
  EXPECT_EQ(InetAddress::of_own(copy)->port(), 0);
}

TEST(NetlinkSocket, keeps_port_and_memberships) {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  sockaddr_nl own{};
  own.nl_family = AF_NETLINK;
  own.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE;
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&own), sizeof(own)), 0);
  socklen_t length = sizeof(own);
  ASSERT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &length), 0);
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  const auto files = tree.dump();
  ASSERT_OK(files);
  ASSERT_TRUE(tree.blockers.empty());
  tree.discard();
  fd.reset();
  FakeRestore restored(tree);
  ASSERT_OK(restored.run(*files));
  sockaddr_nl now{};
  ASSERT_EQ(::getsockname(restored.fd(id), reinterpret_cast<sockaddr*>(&now), &length), 0);
  EXPECT_EQ(now.nl_pid, own.nl_pid);
  EXPECT_EQ(now.nl_groups, own.nl_groups);
}

TEST(OtherSocket, is_refused_by_name) {
  Fd fd(::socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd.valid()) fd = Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd.valid()) GTEST_SKIP() << "no other family of sockets here";
  FakeTree tree;
  tree.add(fd.get());
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("socket-kind"));
}

}  // namespace
}  // namespace godwit::pod::test
