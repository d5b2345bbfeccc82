// UNIX sockets: recognising and dumping. How they are made again: unix_restore.cc.
//
// A socket by itself says little: who its peer is, sock_diag tells, by inode number. So the state speaks of sockets by
// the inode numbers of the source, and whether every peer is in the tree can only be said when all files were dumped,
// those in flight inside other sockets included: the section kind "unix-peers" says it, and carries what the restore must
// know of both ends of a connection at once.
#include "pod/kinds/unix_socket.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/sys.h"
#include "godwit/pod.pb.h"
#include "godwit/pod_kinds_unix.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/socket_options.h"
#include "pod/kinds/unix_diag.h"
#include "pod/kinds/unix_name.h"
#include "pod/kinds/unix_queue.h"

#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0)  // linux/un.h, which can't be included beside sys/un.h
#endif

namespace godwit::pod {
namespace {

constexpr std::string_view kFamily = "unix";

// What the dump remembers of each socket until all are known.
struct Seen {
  UnixDiag diag;
  std::string object;
  pb::UnixEnd end;
  int unsent = 0;  ///< bytes sent and not yet read by the peer
  bool settled = false;  ///< inherited, or connected to an outside name: its peer need not be in the tree
};
struct Dump {
  Fd netlink;
  std::map<uint64_t, Seen> sockets;
  bool descriptors_in_flight = false;  ///< while inspecting: some sockets may be there that weren't looked at
};

Dump& memory(DumpContext& ctx) {
  auto& slot = ctx.memory(kFamily);
  if (slot == nullptr) slot = std::make_shared<Dump>();
  return *static_cast<Dump*>(slot.get());
}

bool matches(const OpenFileView& view) {
  if (!S_ISSOCK(view.st.st_mode) || (view.flags & O_PATH) != 0) return false;
  const auto domain = int_option(view.ours, SOL_SOCKET, SO_DOMAIN);
  return domain && *domain == AF_UNIX;
}

bool is_connection(const UnixDiag& diag) { return diag.type != SOCK_DGRAM && diag.state == TCP_ESTABLISHED; }

// Where the file of a path name is, if it is still there and connect(2) to it would find this socket.
Result<void> dump_node(DumpContext& ctx, const OpenFileView& view, const UnixDiag& diag, pb::UnixSocket& out) {
  // An accepted socket shares its listener's name and file; connect(2) finds the listener.
  if (is_connection(diag)) return {};
  std::string path;
  struct stat st{};
  const Fd file(::ioctl(view.ours.get(), SIOCUNIXFILE));  // needs CAP_NET_ADMIN over the socket's network namespace
  if (file.valid()) {
    TRY(st, sys::stat(file));
    if (st.st_nlink == 0) return {};
    TRY(path, sys::read_link_at(ctx.proc_dir(), "self/fd/" + std::to_string(file.get())));
  } else {
    path = out.name();
    if (!path.starts_with('/')) {
      TRY(const auto cwd, sys::read_link_at(ctx.proc_dir(), std::to_string(view.host_pid) + "/cwd"));
      path = cwd + "/" + path;
    }
    const auto found = sys::stat(path);
    if (!found || !S_ISSOCK(found->st_mode) || static_cast<uint32_t>(found->st_ino) != diag.node_inode) return {};
    st = *found;
  }
  auto* node = out.mutable_node();
  node->set_path(path);
  node->set_mode(st.st_mode & 07777);
  node->set_uid(st.st_uid);
  node->set_gid(st.st_gid);
  ctx.demand_file(path, wire::FileDemand::SOCKET, 0, view.object);
  return {};
}

void dump_peer_credentials(DumpContext& ctx, const Fd& socket, pb::UnixSocket& out) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
  if (peer.pid == 0 && peer.uid == static_cast<uid_t>(-1)) return;  // never connected
  auto* c = out.mutable_peer_credentials();
  c->set_uid(peer.uid);
  c->set_gid(peer.gid);
  if (auto pid = ctx.pid_in_tree(peer.pid)) c->set_pid(*pid);
}

// A datagram socket's peer: its pair, a socket with a name, or a name that a program outside owns.
Result<void> dump_datagram_peer(DumpContext& ctx, const OpenFileView& view, Seen& seen, pb::UnixSocket& out) {
  out.set_role(pb::UnixSocket::CONNECTED);
  out.set_peer(seen.diag.peer);
  out.set_peer_gone(seen.diag.peer == 0);
  if (seen.diag.peer == 0) return {};
  TRY(const UnixDiag peer, query_unix(memory(ctx).netlink, seen.diag.peer));
  const bool mutual = peer.has_peer && peer.peer == out.inode();
  // Two sockets can name each other only if both have names; everything else was made by socketpair(2).
  out.set_paired(mutual && (out.name().empty() || peer.name.empty()));
  if (!out.paired() && peer.name.empty()) {
    ctx.refuse("unix-unreachable", view.object);
    seen.settled = true;
  } else if (!out.paired() && ctx.files_with_inode(view.st.st_dev, seen.diag.peer).empty()) {
    TRY(const std::string name, unix_name(view.ours, true));
    out.set_outside_name(name);
    seen.settled = true;
  }
  return {};
}

Result<void> dump_stream_role(const OpenFileView& view, const UnixDiag& diag, pb::UnixSocket& out) {
  if (diag.state == TCP_LISTEN) {
    out.set_role(pb::UnixSocket::LISTENING);
    out.set_backlog(diag.backlog);
    for (const uint64_t client : diag.waiting) out.add_waiting(client);
  } else if (diag.state == TCP_ESTABLISHED) {
    out.set_role(pb::UnixSocket::CONNECTED);
    out.set_peer(diag.peer);
    // The peer's close shuts both directions; a client that waits to be accepted has shut neither.
    out.set_peer_gone(diag.peer == 0 && diag.shutdown == 3);
    pollfd poll{view.ours.get(), 0, 0};
    out.set_reset(::poll(&poll, 1, 0) > 0 && (poll.revents & POLLERR) != 0);
  }
  return {};
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  Dump& all = memory(ctx);
  if (!all.netlink.valid()) {
    TRY(all.netlink, open_unix_diag(ctx.proc_dir(), view.ours));
  }
  pb::UnixSocket state;
  state.set_inode(view.st.st_ino);
  auto diag = query_unix(all.netlink, view.st.st_ino);
  if (!diag && diag.error().code == Code::kNotFound) {  // another network namespace than the last one's
    TRY(all.netlink, open_unix_diag(ctx.proc_dir(), view.ours));
    diag = query_unix(all.netlink, view.st.st_ino);
  }
  TRY_DO(diag);
  Seen& seen = all.sockets[view.st.st_ino];
  seen.diag = *diag;
  seen.object = view.object;
  state.set_type(static_cast<uint32_t>(diag->type));
  state.set_shutdown(diag->shutdown);
  state.set_uid(diag->uid);
  TRY(*state.mutable_name(), unix_name(view.ours, false));
  state.set_bound(!state.name().empty());
  if (state.bound() && state.name()[0] != '\0') TRY_DO(dump_node(ctx, view, *diag, state));
  dump_peer_credentials(ctx, view.ours, state);
  if (diag->type != SOCK_DGRAM) {
    TRY_DO(dump_stream_role(view, *diag, state));
  } else if (diag->has_peer) {
    TRY_DO(dump_datagram_peer(ctx, view, seen, state));
  }
  const bool peer_unknown = state.role() == pb::UnixSocket::CONNECTED && state.peer() != 0 &&
                            state.outside_name().empty() && ctx.files_with_inode(view.st.st_dev, state.peer()).empty();
  if (peer_unknown && ctx.may_inherit(view)) {
    state.set_role(pb::UnixSocket::INHERITED);
    state.set_inherited_fd(static_cast<uint32_t>(view.fd));
    seen.settled = true;
  }
  (void)::ioctl(view.ours.get(), SIOCOUTQ, &seen.unsent);
  if (const auto at = view.fdinfo.find("scm_fds:"); at != std::string::npos) {
    all.descriptors_in_flight |= std::atoi(view.fdinfo.c_str() + at + 8) > 0;
  }
  if (!ctx.inspecting()) {
    TRY_DO(dump_socket_options(ctx, view.ours, view.object, *state.mutable_options()));
    if (state.role() != pb::UnixSocket::LISTENING && state.role() != pb::UnixSocket::INHERITED) {
      TRY_DO(dump_unix_queue(ctx, view.ours, view.object, state));
    }
  }
  seen.end.set_inode(state.inode());
  seen.end.set_name(state.name());
  seen.end.set_listening(state.role() == pb::UnixSocket::LISTENING);
  if (state.has_peer_credentials()) *seen.end.mutable_peer_credentials() = state.peer_credentials();
  out.set_state(state.SerializeAsString());
  return {};
}

// After all files: is every peer here, and can every waiting client be made again?
Result<std::string> check_peers(DumpContext& ctx) {
  if (ctx.memory(kFamily) == nullptr) return std::string();
  const Dump& all = memory(ctx);
  const bool certain = !ctx.inspecting() || !all.descriptors_in_flight;
  std::set<uint64_t> waiting;
  for (const auto& [inode, seen] : all.sockets) {
    for (const uint64_t client : seen.diag.waiting) {
      waiting.insert(client);
      const auto it = all.sockets.find(client);
      if (client == 0) {
        // It may be accepted at any moment while the unit runs: a blocker only when frozen.
        if (!ctx.inspecting()) ctx.refuse("unix-backlog", seen.object);
      } else if (it == all.sockets.end()) {
        if (certain) ctx.refuse("unix-peer-outside", seen.object, "a client from outside waits to be accepted");
      } else if (it->second.unsent > 0 && !ctx.inspecting()) {
        ctx.refuse("unix-backlog", it->second.object);
      }
    }
  }
  for (const auto& [inode, seen] : all.sockets) {
    if (seen.settled || !seen.diag.has_peer || !certain) continue;
    const bool outside = seen.diag.peer != 0
                             ? !all.sockets.contains(seen.diag.peer)
                             : is_connection(seen.diag) && seen.diag.shutdown != 3 && !waiting.contains(inode);
    if (outside) ctx.refuse("unix-peer-outside", seen.object);
  }
  pb::UnixPeers peers;
  for (const auto& [inode, seen] : all.sockets) {
    if (seen.diag.type != SOCK_DGRAM) *peers.add_ends() = seen.end;
  }
  return peers.SerializeAsString();
}

}  // namespace

const FileKind kUnixSocketKind = {.name = "unix",
                                  .matches = matches,
                                  .dump = dump,
                                  .restore = restore_unix_socket,
                                  .connect = connect_unix_socket,
                                  .activate = activate_unix_socket,
                                  .schema = "godwit.pod.v1.UnixSocket"};

const SectionKind kUnixPeersSection = {.name = "unix-peers",
                                       .dump = check_peers,
                                       .restore = restore_unix_peers,
                                       .connect = nullptr,
                                       .activate = nullptr,
                                       .schema = "godwit.pod.v1.UnixPeers"};

}  // namespace godwit::pod
