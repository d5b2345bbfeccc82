// TCP and UDP sockets, as long as nobody outside would notice that they moved: bound, listening, UDP also connected.
//
// An established TCP connection is refused by name; with --tcp close it is carried as one that the peer has reset, which
// programs know how to meet. Connections that wait in a listener's accept queue are established ones too.
//
// Unread UDP datagrams are sent again over the loopback device, from their old address: by the tree's own socket if that
// was the sender, else by one that may bind any address (IP_TRANSPARENT, CAP_NET_ADMIN). Where that isn't allowed they
// are lost with a warning, as UDP may lose them. Ancillary data (time stamps, the destination address) is that of the
// second delivery. Multicast memberships can't be read from a socket and are not carried.
#include "pod/kinds/inet_socket.h"

#include <fcntl.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "base/log.h"
#include "godwit/pod.pb.h"
#include "godwit/pod_kinds_inet.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/socket_options.h"

namespace godwit::pod {
namespace {

struct Kind {
  int domain = 0, type = 0, protocol = 0;
};
Result<Kind> kind_of(const Fd& fd) {
  Kind k;
  TRY(k.domain, int_option(fd, SOL_SOCKET, SO_DOMAIN));
  TRY(k.type, int_option(fd, SOL_SOCKET, SO_TYPE));
  TRY(k.protocol, int_option(fd, SOL_SOCKET, SO_PROTOCOL));
  return k;
}

bool matches(const OpenFileView& view) {
  if (!S_ISSOCK(view.st.st_mode) || (view.flags & O_PATH) != 0) return false;
  const auto k = kind_of(view.ours);
  return k && (k->domain == AF_INET || k->domain == AF_INET6) &&
         ((k->type == SOCK_STREAM && k->protocol == IPPROTO_TCP) ||
          (k->type == SOCK_DGRAM && k->protocol == IPPROTO_UDP));
}

// ---- dump

bool is_set(const InetAddress& a) { return a.port() != 0 || !a.is_wildcard(); }

Result<void> dump_tcp(DumpContext& ctx, const OpenFileView& view, pb::InetSocket& out) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  if (::getsockopt(view.ours.get(), IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return fail_errno(errno, "TCP_INFO");
  switch (info.tcpi_state) {
    case TCP_CLOSE: return {};
    case TCP_LISTEN:
      out.set_role(pb::InetSocket::LISTENING);
      // Of a listener these two fields hold its accept queue: how many wait, how many may (net/ipv4/tcp.c, tcp_get_info).
      out.set_backlog(info.tcpi_sacked);
      if (info.tcpi_unacked > 0 && !ctx.close_connections() && !ctx.inspecting()) {
        ctx.refuse("tcp-established", view.object, std::to_string(info.tcpi_unacked) + " wait to be accepted");
      }
      return {};
    default:
      out.set_role(pb::InetSocket::CLOSED);
      out.clear_local();
      if (!ctx.close_connections()) {
        const auto peer = InetAddress::of_peer(view.ours);
        ctx.refuse("tcp-established", view.object, peer ? "with " + peer->text() : std::string());
      }
      return {};
  }
}

Result<void> dump_datagrams(const Fd& fd, pb::InetSocket& out) {
  TRY(const int peek_offset, int_option(fd, SOL_SOCKET, SO_PEEK_OFF));
  std::vector<char> buffer(65536 * 4);  // an IPv6 jumbogram is not for UDP sockets of Linux: 64 KiB, or a GRO train
  Result<void> result;
  for (int at = 0;;) {
    TRY_DO(set_int_option(fd, SOL_SOCKET, SO_PEEK_OFF, at));
    sockaddr_storage from{};
    socklen_t length = sizeof(from);
    const ssize_t n = ::recvfrom(fd.get(), buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT,
                                 reinterpret_cast<sockaddr*>(&from), &length);
    if (n < 0) {
      if (errno != EAGAIN) result = fail_errno(errno, "peeking into a UDP socket");
      break;
    }
    auto* datagram = out.add_queue();
    datagram->set_data(buffer.data(), static_cast<size_t>(n));
    datagram->set_from(reinterpret_cast<const char*>(&from), length);
    at += static_cast<int>(n);
  }
  TRY_DO(set_int_option(fd, SOL_SOCKET, SO_PEEK_OFF, peek_offset));
  return result;
}

Result<void> dump_udp(DumpContext& ctx, const OpenFileView& view, pb::InetSocket& out) {
  if (const auto peer = InetAddress::of_peer(view.ours)) {
    out.set_role(pb::InetSocket::CONNECTED);
    out.set_peer(peer->bytes());
  }
  // A pending error (an ICMP answer) would be cleared by looking, and is nothing that UDP promises: POLLERR is let alone.
  pollfd poll{view.ours.get(), POLLIN, 0};
  if (ctx.inspecting() || ::poll(&poll, 1, 0) <= 0 || (poll.revents & POLLIN) == 0 || (poll.revents & POLLERR) != 0)
    return {};
  return dump_datagrams(view.ours, out);
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  TRY(const Kind k, kind_of(view.ours));
  pb::InetSocket state;
  state.set_domain(static_cast<uint32_t>(k.domain));
  state.set_type(static_cast<uint32_t>(k.type));
  state.set_inode(view.st.st_ino);
  TRY(const auto local, InetAddress::of_own(view.ours));
  if (is_set(local)) state.set_local(local.bytes());
  TRY_DO(k.type == SOCK_STREAM ? dump_tcp(ctx, view, state) : dump_udp(ctx, view, state));
  TRY_DO(dump_socket_options(ctx, view.ours, view.object, *state.mutable_options()));
  out.set_state(state.SerializeAsString());
  return {};
}

// ---- restore

struct Restored {
  std::map<std::string, FileId> udp_by_address;
};
Restored& memory(RestoreContext& ctx) {
  auto& slot = ctx.memory("inet");
  if (slot == nullptr) slot = std::make_shared<Restored>();
  return *static_cast<Restored*>(slot.get());
}

Result<void> connect_to(const Fd& fd, const InetAddress& address) {
  if (::connect(fd.get(), address.get(), address.length()) != 0)
    return fail_errno(errno, "connecting to " + address.text());
  return {};
}

Result<void> bind_local(const Fd& fd, const pb::InetSocket& s) {
  if (s.local().empty()) return {};
  TRY(auto local, InetAddress::parse(s.local()));
  if (::bind(fd.get(), local.get(), local.length()) == 0) return {};
  if (errno == EADDRNOTAVAIL && s.role() == pb::InetSocket::CONNECTED) {
    // The address was most likely chosen by connect(2), for another machine: let it choose again, on the same port.
    local.make_wildcard();
    if (::bind(fd.get(), local.get(), local.length()) == 0) return {};
  }
  if (errno == EADDRINUSE) return fail_errno(errno, "the port of " + local.text() + " is taken on this machine");
  if (errno == EADDRNOTAVAIL) return fail_errno(errno, local.text() + " is not an address of this machine");
  return fail_errno(errno, "binding " + local.text());
}

// A connection whose peer has just reset it: made on the loopback device.
Result<void> connect_and_reset(const Fd& fd, int domain) {
  const Fd listener(::socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0));
  InetAddress address = InetAddress::loopback(domain, 0);
  if (!listener.valid() || ::bind(listener.get(), address.get(), address.length()) != 0 ||
      ::listen(listener.get(), 1) != 0) {
    return fail_errno(errno, "listening on the loopback device");
  }
  TRY(address, InetAddress::of_own(listener));
  TRY_DO(connect_to(fd, address));
  const Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const linger now{1, 0};
  if (!accepted.valid() || ::setsockopt(accepted.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now)) != 0) {
    return fail_errno(errno, "accepting on the loopback device");
  }
  return {};
}

Result<Fd> restore(RestoreContext& ctx, const pb::OpenFile& file) {
  pb::InetSocket s;
  if (!s.ParseFromString(file.state())) return fail(Code::kCorrupt, "the state of an Internet socket can't be parsed");
  const int domain = static_cast<int>(s.domain()), type = static_cast<int>(s.type());
  if ((domain != AF_INET && domain != AF_INET6) || (type != SOCK_STREAM && type != SOCK_DGRAM) ||
      (type == SOCK_STREAM && s.role() == pb::InetSocket::CONNECTED) ||
      (type == SOCK_DGRAM && s.role() == pb::InetSocket::LISTENING)) {
    return fail(Code::kCorrupt, "an Internet socket that can't exist");
  }
  TRY(Fd fd, ctx.internet_socket(domain, type));
  if (s.role() != pb::InetSocket::CLOSED) TRY_DO(restore_socket_options(fd, s.options(), OptionStage::kBeforeBind));
  if (s.role() == pb::InetSocket::CLOSED) {
    if (auto done = connect_and_reset(fd, domain); !done)
      log::warn("a closed connection is a fresh socket: {}", done.error().message());
  } else {
    TRY(const int reuse, int_option(fd, SOL_SOCKET, SO_REUSEADDR));
    // Connections that the server closed may linger in TIME_WAIT on this port: they don't count.
    if (type == SOCK_STREAM) TRY_DO(set_int_option(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    TRY_DO(bind_local(fd, s));
    if (type == SOCK_STREAM) TRY_DO(set_int_option(fd, SOL_SOCKET, SO_REUSEADDR, reuse));
  }
  // What a connection had counts no more; its blocking behaviour does, as far as it can be set.
  if (auto set = restore_socket_options(fd, s.options(), OptionStage::kAtEnd);
      !set && s.role() != pb::InetSocket::CLOSED) {
    return std::unexpected(set.error());
  }
  if (s.role() == pb::InetSocket::LISTENING && ::listen(fd.get(), static_cast<int>(s.backlog())) != 0) {
    return fail_errno(errno, "listening on a TCP socket");
  }
  if (s.role() == pb::InetSocket::CONNECTED) {
    TRY(const auto peer, InetAddress::parse(s.peer()));
    if (auto done = connect_to(fd, peer); !done)
      log::warn("a UDP socket isn't connected here: {}", done.error().message());
  }
  if (type == SOCK_DGRAM && !s.local().empty()) memory(ctx).udp_by_address[s.local()] = file.id();
  return fd;
}

// Where a datagram for this socket can be sent on this machine.
Result<InetAddress> reachable(const Fd& fd, const InetAddress& from) {
  TRY(auto own, InetAddress::of_own(fd));
  if (!own.is_wildcard()) return own;
  return InetAddress::loopback(from.is_ipv4() ? AF_INET : AF_INET6, own.port());
}

Result<void> deliver(RestoreContext& ctx, const Fd& fd, const pb::InetDatagram& datagram) {
  TRY(const auto from, InetAddress::parse(datagram.from()));
  TRY(const auto to, reachable(fd, from));
  const auto& ours = memory(ctx).udp_by_address;
  const Fd* sender = nullptr;
  Fd stand_in;
  for (const auto& [address, id] : ours) {
    TRY(const auto candidate, InetAddress::parse(address));
    if (candidate.port() == from.port() && (candidate.is_wildcard() || candidate.bytes() == from.bytes())) {
      TRY(sender, ctx.file(id));
    }
  }
  if (sender == nullptr) {
    const auto source = from.as_plain();
    stand_in = Fd(::socket(source.domain(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const bool v4 = source.domain() == AF_INET;
    if (auto any = set_int_option(stand_in, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, 1);
        !any)
      return any;
    if (::bind(stand_in.get(), source.get(), source.length()) != 0)
      return fail_errno(errno, "binding " + source.text());
    sender = &stand_in;
  }
  TRY(const int domain, int_option(*sender, SOL_SOCKET, SO_DOMAIN));
  const auto target = domain == AF_INET6 ? to.as_mapped() : to.as_plain();
  const auto& data = datagram.data();
  if (::sendto(sender->get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL, target.get(), target.length()) <
      0) {
    return fail_errno(errno, "sending to " + target.text());
  }
  return {};
}

Result<void> connect(RestoreContext& ctx, const pb::OpenFile& file, const Fd& fd) {
  pb::InetSocket s;
  if (!s.ParseFromString(file.state())) return fail(Code::kCorrupt, "the state of an Internet socket can't be parsed");
  for (const auto& datagram : s.queue()) {
    if (auto done = deliver(ctx, fd, datagram); !done) {
      log::warn("an unread UDP datagram of {} bytes is lost: {}", datagram.data().size(), done.error().message());
    }
  }
  return {};
}

}  // namespace

Result<Fd> RestoreContext::internet_socket(int domain, int type) {
  Fd fd(::socket(domain, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno(errno, "making an Internet socket");
  return fd;
}

const FileKind kInetSocketKind = {.name = "inet",
                                  .matches = matches,
                                  .dump = dump,
                                  .restore = restore,
                                  .connect = connect,
                                  .schema = "godwit.pod.v1.InetSocket"};

}  // namespace godwit::pod
