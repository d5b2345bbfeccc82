#include "pod/kinds/unix_diag.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/unix_diag.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <thread>

#include "base/sys.h"

namespace godwit::pod {
namespace {

Result<Fd> netlink_here() {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!fd.valid()) return fail_errno(errno, "opening a sock_diag socket");
  return fd;
}

template <typename T>
T read_as(std::span<const std::byte> payload) {
  T value{};
  std::memcpy(&value, payload.data(), std::min(sizeof(T), payload.size()));
  return value;
}

void take_attribute(int type, std::span<const std::byte> payload, UnixDiag& out) {
  switch (type) {
    case UNIX_DIAG_NAME: out.name.assign(reinterpret_cast<const char*>(payload.data()), payload.size()); break;
    case UNIX_DIAG_VFS: {
      const auto vfs = read_as<unix_diag_vfs>(payload);
      out.node_inode = vfs.udiag_vfs_ino;
      out.node_device = vfs.udiag_vfs_dev;
      break;
    }
    case UNIX_DIAG_PEER:
      out.has_peer = true;
      out.peer = read_as<uint32_t>(payload);
      break;
    case UNIX_DIAG_ICONS:
      for (; payload.size() >= sizeof(uint32_t); payload = payload.subspan(sizeof(uint32_t))) {
        out.waiting.push_back(read_as<uint32_t>(payload));
      }
      break;
    case UNIX_DIAG_RQLEN: out.backlog = read_as<unix_diag_rqlen>(payload).udiag_wqueue; break;
    case UNIX_DIAG_SHUTDOWN: out.shutdown = read_as<uint8_t>(payload); break;
    case UNIX_DIAG_UID: out.uid = read_as<uint32_t>(payload); break;
    default: break;
  }
}

}  // namespace

Result<Fd> open_unix_diag(const Fd& proc, const Fd& socket) {
  const Fd theirs(::ioctl(socket.get(), SIOCGSKNS));
  if (!theirs.valid()) return netlink_here();  // needs CAP_NET_ADMIN there: without it, assume our own
  TRY(const auto there, sys::stat(theirs));
  TRY(Fd ours, sys::open_at(proc, "thread-self/ns/net", O_RDONLY));
  TRY(const auto here, sys::stat(ours));
  if (there.st_ino == here.st_ino) return netlink_here();
  Result<Fd> result = fail(Code::kFailed, "");
  std::thread([&] {  // a namespace is entered by a thread: this one ends with it
    if (::setns(theirs.get(), CLONE_NEWNET) != 0) {
      result = fail_errno(errno, "entering a network namespace");
    } else {
      result = netlink_here();
    }
  })
      .join();
  return result;
}

Result<UnixDiag> query_unix(const Fd& netlink, uint64_t inode) {
  struct {
    nlmsghdr header;
    unix_diag_req request;
  } ask{};
  ask.header.nlmsg_len = sizeof(ask);
  ask.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  ask.header.nlmsg_flags = NLM_F_REQUEST;
  ask.request.sdiag_family = AF_UNIX;
  ask.request.udiag_states = ~0u;
  ask.request.udiag_ino = static_cast<uint32_t>(inode);
  ask.request.udiag_show =
      UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN | UDIAG_SHOW_UID;
  ask.request.udiag_cookie[0] = ask.request.udiag_cookie[1] = ~0u;
  if (::send(netlink.get(), &ask, sizeof(ask), 0) < 0) return fail_errno(errno, "asking sock_diag");
  // Every waiting client takes 4 bytes; the kernel makes its answer as large as it needs.
  std::vector<std::byte> answer(64 << 10);
  ssize_t size = ::recv(netlink.get(), nullptr, 0, MSG_PEEK | MSG_TRUNC);
  if (size > static_cast<ssize_t>(answer.size())) answer.resize(static_cast<size_t>(size));
  size = ::recv(netlink.get(), answer.data(), answer.size(), 0);
  if (size < 0) return fail_errno(errno, "reading sock_diag's answer");
  std::span<const std::byte> rest(answer.data(), static_cast<size_t>(size));
  const auto header = read_as<nlmsghdr>(rest);
  if (rest.size() < NLMSG_HDRLEN || header.nlmsg_len > rest.size())
    return fail(Code::kSystem, "a short answer of sock_diag");
  rest = rest.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
  if (header.nlmsg_type == NLMSG_ERROR) {
    const int error = -read_as<nlmsgerr>(rest).error;
    if (error == ENOENT) return fail(Code::kNotFound, "no UNIX socket has inode " + std::to_string(inode));
    return fail_errno(error, "asking for UNIX socket " + std::to_string(inode));
  }
  const auto message = read_as<unix_diag_msg>(rest);
  UnixDiag out;
  out.type = message.udiag_type;
  out.state = message.udiag_state;
  rest = rest.subspan(std::min(rest.size(), NLMSG_ALIGN(sizeof(message))));
  while (rest.size() >= sizeof(rtattr)) {
    const auto attribute = read_as<rtattr>(rest);
    if (attribute.rta_len < sizeof(rtattr) || attribute.rta_len > rest.size()) break;
    take_attribute(attribute.rta_type, rest.subspan(RTA_LENGTH(0), attribute.rta_len - RTA_LENGTH(0)), out);
    rest = rest.subspan(std::min<size_t>(rest.size(), RTA_ALIGN(attribute.rta_len)));
  }
  return out;
}

}  // namespace godwit::pod
