// Netlink sockets that hold nothing unread: their memberships and port are all there is. The port is most often the
// process's pid, which is kept; if another socket has it here the kernel picks a new one.
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <vector>

#include "base/log.h"
#include "godwit/pod.pb.h"
#include "godwit/pod_kinds_inet.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/socket_options.h"

namespace godwit::pod {
namespace {

constexpr int kMaxGroupWords = 64;  // 2048 groups; the kernel's families have far fewer

bool matches(const OpenFileView& view) {
  if (!S_ISSOCK(view.st.st_mode) || (view.flags & O_PATH) != 0) return false;
  const auto domain = int_option(view.ours, SOL_SOCKET, SO_DOMAIN);
  return domain && *domain == AF_NETLINK;
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  pb::NetlinkSocket s;
  TRY(const int type, int_option(view.ours, SOL_SOCKET, SO_TYPE));
  TRY(const int protocol, int_option(view.ours, SOL_SOCKET, SO_PROTOCOL));
  s.set_type(static_cast<uint32_t>(type));
  s.set_protocol(static_cast<uint32_t>(protocol));
  sockaddr_nl own{}, peer{};
  socklen_t length = sizeof(own);
  if (::getsockname(view.ours.get(), reinterpret_cast<sockaddr*>(&own), &length) != 0)
    return fail_errno(errno, "getsockname");
  s.set_port(own.nl_pid);
  length = sizeof(peer);
  if (::getpeername(view.ours.get(), reinterpret_cast<sockaddr*>(&peer), &length) == 0) {
    s.set_peer_port(peer.nl_pid);
    s.set_peer_groups(peer.nl_groups);
  }
  uint32_t groups[kMaxGroupWords] = {};
  length = sizeof(groups);
  if (::getsockopt(view.ours.get(), SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &length) == 0) {
    for (size_t i = 0; i < std::min<size_t>(length, sizeof(groups)) / sizeof(uint32_t); ++i) s.add_groups(groups[i]);
  }
  pollfd poll{view.ours.get(), POLLIN, 0};
  if (!ctx.inspecting() && ::poll(&poll, 1, 0) > 0 && (poll.revents & (POLLIN | POLLERR)) != 0) {
    ctx.refuse("netlink-unread", view.object);
  }
  TRY_DO(dump_socket_options(ctx, view.ours, view.object, *s.mutable_options()));
  out.set_state(s.SerializeAsString());
  return {};
}

Result<Fd> restore(RestoreContext&, const pb::OpenFile& file) {
  pb::NetlinkSocket s;
  if (!s.ParseFromString(file.state()) || s.groups_size() > kMaxGroupWords) {
    return fail(Code::kCorrupt, "the state of a netlink socket can't be parsed");
  }
  Fd fd(::socket(AF_NETLINK, static_cast<int>(s.type() & 0xf) | SOCK_CLOEXEC, static_cast<int>(s.protocol())));
  if (!fd.valid()) return fail_errno(errno, "making a netlink socket of protocol " + std::to_string(s.protocol()));
  if (s.port() != 0) {
    sockaddr_nl own{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = s.port(), .nl_groups = 0};
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0) {
      if (errno != EADDRINUSE) return fail_errno(errno, "binding a netlink socket");
      log::warn("netlink port {} is in use here: another is taken", s.port());
      own.nl_pid = 0;
      if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0)
        return fail_errno(errno, "binding a netlink socket");
    }
  }
  for (int word = 0; word < s.groups_size(); ++word) {
    for (int bit = 0; bit < 32; ++bit) {
      if ((s.groups(word) >> bit & 1) == 0) continue;
      TRY_DO(set_int_option(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, word * 32 + bit + 1));
    }
  }
  if (s.peer_port() != 0 || s.peer_groups() != 0) {
    const sockaddr_nl peer{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = s.peer_port(), .nl_groups = s.peer_groups()};
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) != 0)
      return fail_errno(errno, "connecting a netlink socket");
  }
  TRY_DO(restore_socket_options(fd, s.options(), OptionStage::kBeforeBind));
  TRY_DO(restore_socket_options(fd, s.options(), OptionStage::kAtEnd));
  return fd;
}

// Sockets of every other family.
bool matches_other(const OpenFileView& view) { return S_ISSOCK(view.st.st_mode) && (view.flags & O_PATH) == 0; }

Result<void> dump_other(DumpContext& ctx, const OpenFileView& view, pb::OpenFile&) {
  const auto domain = int_option(view.ours, SOL_SOCKET, SO_DOMAIN), type = int_option(view.ours, SOL_SOCKET, SO_TYPE),
             protocol = int_option(view.ours, SOL_SOCKET, SO_PROTOCOL);
  ctx.refuse("socket-kind", view.object,
             "family " + std::to_string(domain.value_or(-1)) + ", type " + std::to_string(type.value_or(-1)) +
                 ", protocol " + std::to_string(protocol.value_or(-1)));
  return {};
}

Result<Fd> restore_other(RestoreContext&, const pb::OpenFile&) {
  return fail(Code::kCorrupt, "a socket that no dump carries");
}

}  // namespace

const FileKind kNetlinkSocketKind = {
    .name = "netlink", .matches = matches, .dump = dump, .restore = restore, .schema = "godwit.pod.v1.NetlinkSocket"};
const FileKind kOtherSocketKind = {
    .name = "socket", .matches = matches_other, .dump = dump_other, .restore = restore_other};

}  // namespace godwit::pod
