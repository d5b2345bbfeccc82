// UNIX sockets: making them again.
//
// restore() makes each socket and binds its name (aside: unix_name.h). Two connected stream sockets are made together:
// by socketpair(2) if neither has a name; else one connects to a listener that lives for a moment, the other is what that
// listener accepts: so it bears its listener's name, which bind(2) gives only once, and each end records its own peer
// credentials. The end that wasn't asked for waits on the shelf.
//
// What needs more than two sockets is done when all files exist: unix_connect.cc.
//
// What stays different: SO_PEERCRED's uid and gid are kept, its pid reads 0 inside a unit (the restoring process, which
// the unit's PID namespace can't name), and SO_PEERGROUPS are those of the restoring process.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "base/sys.h"
#include "godwit/pod.pb.h"
#include "godwit/pod_kinds_unix.pb.h"
#include "pod/kinds/socket_options.h"
#include "pod/kinds/unix_made.h"
#include "pod/kinds/unix_name.h"
#include "pod/kinds/unix_socket.h"

namespace godwit::pod {

UnixMade& unix_made(RestoreContext& ctx) {
  auto& slot = ctx.memory("unix");
  if (slot == nullptr) slot = std::make_shared<UnixMade>();
  return *static_cast<UnixMade*>(slot.get());
}

Result<Fd> new_unix_socket(int type) {
  Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno(errno, "making a UNIX socket");
  return fd;
}

namespace {

std::string shelf_name(uint64_t inode) { return "unix:" + std::to_string(inode); }

// Runs `action` so that the other side's SO_PEERCRED shows what the peer of `end` showed.
Result<void> as_peer_of(const pb::UnixCredentials* seen, const std::function<Result<void>()>& action) {
  if (seen == nullptr) return action();
  return with_identity(seen->uid(), seen->gid(), action);
}
const pb::UnixCredentials* seen_by(const UnixMade& all, uint64_t inode) {
  const auto it = all.ends.find(inode);
  return it != all.ends.end() && it->second.has_peer_credentials() ? &it->second.peer_credentials() : nullptr;
}
bool is_abstract(const std::string& name) { return !name.empty() && name[0] == '\0'; }

bool listens(const UnixMade& all, const std::string& name) {
  return std::ranges::any_of(all.ends, [&](const auto& e) { return e.second.listening() && e.second.name() == name; });
}
// Of two ends, does `name` belong to the accepted one? It has its listener's name, or else it is the one with a name.
bool is_accepted(const UnixMade& all, const std::string& name, const std::string& other) {
  if (!name.empty() && listens(all, name)) return true;
  if (!other.empty() && listens(all, other)) return false;
  return !name.empty();
}

struct Connection {
  Fd client, accepted;
};

// A listener with this name. An abstract name may belong to the restored listener already: then that one accepts, for
// nobody else waits at it before connect(). A path is bound aside; only its bytes count.
struct Listener {
  Fd temporary;
  const Fd* fd = nullptr;
  std::optional<StagedName> staged;
  UnixAddress address;
};
Result<void> listen_as(RestoreContext& ctx, int type, const std::string& name, const pb::UnixCredentials* seen,
                       Listener& out) {
  TRY(out.temporary, new_unix_socket(type));
  TRY(out.address, unix_address(name));
  out.fd = &out.temporary;
  if (!is_abstract(name)) {
    TRY(out.staged, StagedName::bind(out.temporary, name, ctx.scratch_dir()));
  } else if (::bind(out.temporary.get(), out.address.get(), out.address.length) != 0) {
    if (errno != EADDRINUSE) return fail_errno(errno, "binding an abstract name");
    for (const auto& [inode, other] : unix_made(ctx).sockets) {
      if (other.state.role() != pb::UnixSocket::LISTENING || other.state.name() != name) continue;
      TRY(out.fd, ctx.file(other.id));
      return {};
    }
    return fail(Code::kFailed, "the abstract name @" + name.substr(1) + " is in use here");
  }
  return as_peer_of(seen, [&]() -> Result<void> {
    if (::listen(out.temporary.get(), 1) != 0) return fail_errno(errno, "listening on a UNIX socket");
    return {};
  });
}

// Connects two new sockets; each sees the credentials given for it. An accepted socket always bears a name, its
// listener's, so if there is none they came from socketpair(2).
Result<Connection> connect_new(RestoreContext& ctx, int type, const std::string& name,
                               const pb::UnixCredentials* client_sees, const pb::UnixCredentials* accepted_sees) {
  Connection made;
  if (name.empty()) {
    TRY_DO(as_peer_of(client_sees, [&]() -> Result<void> {
      TRY(auto pair, sys::socketpair(AF_UNIX, type));
      made = {std::move(pair.first), std::move(pair.second)};
      return {};
    }));
    return made;
  }
  TRY(made.client, new_unix_socket(type));
  Listener listener;
  TRY_DO(listen_as(ctx, type, name, client_sees, listener));
  TRY_DO(as_peer_of(accepted_sees, [&]() -> Result<void> {
    auto connect = [&](const UnixAddress& to) -> Result<void> {
      if (::connect(made.client.get(), to.get(), to.length) != 0) return fail_errno(errno, "connecting UNIX sockets");
      return {};
    };
    return listener.staged ? listener.staged->reach(connect) : connect(listener.address);
  }));
  made.accepted = Fd(::accept4(listener.fd->get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!made.accepted.valid()) return fail_errno(errno, "accepting a UNIX socket");
  return made;
}

Result<void> bind_name(RestoreContext& ctx, const Fd& fd, MadeUnixSocket& made) {
  const pb::UnixSocket& s = made.state;
  if (!s.bound()) return {};
  TRY(const std::string now, unix_name(fd, false));
  if (now == s.name()) return {};  // accepted
  TRY(const UnixAddress address, unix_address(s.name()));
  if (s.name()[0] == '\0') {
    if (::bind(fd.get(), address.get(), address.length) != 0) {
      return fail_errno(errno, "binding the abstract name @" + s.name().substr(1));
    }
    return {};
  }
  std::string beside = ctx.scratch_dir();
  if (s.has_node()) {
    const auto slash = s.node().path().rfind('/');
    if (slash == std::string::npos) return fail(Code::kCorrupt, "a socket's path without a directory");
    beside = s.node().path().substr(0, slash);
    TRY_DO(sys::make_dirs(beside.empty() ? "/" : beside));
  }
  TRY(auto staged, StagedName::bind(fd, s.name(), beside));
  if (s.has_node()) {
    TRY_DO(staged.set_attributes(s.node().uid(), s.node().gid(), s.node().mode()));
    made.staged = std::move(staged);
  }
  return {};
}

Result<Fd> make_stream(RestoreContext& ctx, MadeUnixSocket& made) {
  const pb::UnixSocket& s = made.state;
  UnixMade& all = unix_made(ctx);
  const int type = static_cast<int>(s.type());
  if (s.role() != pb::UnixSocket::CONNECTED || (s.peer() == 0 && !s.peer_gone())) return new_unix_socket(type);
  auto& shelf = ctx.shelf();
  if (const auto mine = shelf.find(shelf_name(s.inode())); mine != shelf.end()) {
    Fd fd = std::move(mine->second);
    shelf.erase(mine);
    return fd;
  }
  const auto peer = all.ends.find(s.peer());
  const std::string peer_name = peer == all.ends.end() ? std::string() : peer->second.name();
  const auto* mine = s.has_peer_credentials() ? &s.peer_credentials() : nullptr;
  const auto* theirs = seen_by(all, s.peer());
  const bool accepted = is_accepted(all, s.name(), peer_name);
  TRY(auto both,
      connect_new(ctx, type, accepted ? s.name() : peer_name, accepted ? theirs : mine, accepted ? mine : theirs));
  Fd& other = accepted ? both.client : both.accepted;
  if (s.peer_gone()) {
    made.lost_peer = std::move(other);
  } else {
    shelf[shelf_name(s.peer())] = std::move(other);
  }
  return std::move(accepted ? both.accepted : both.client);
}

Result<Fd> make_datagram(RestoreContext& ctx, MadeUnixSocket& made) {
  const pb::UnixSocket& s = made.state;
  if (!s.paired() && !s.peer_gone()) return new_unix_socket(SOCK_DGRAM);
  auto& shelf = ctx.shelf();
  if (const auto mine = shelf.find(shelf_name(s.inode())); mine != shelf.end()) {
    Fd fd = std::move(mine->second);
    shelf.erase(mine);
    return fd;
  }
  Fd fd, other;
  TRY_DO(as_peer_of(s.has_peer_credentials() ? &s.peer_credentials() : nullptr, [&]() -> Result<void> {
    TRY(auto pair, sys::socketpair(AF_UNIX, SOCK_DGRAM));
    fd = std::move(pair.first);
    other = std::move(pair.second);
    return {};
  }));
  if (s.paired()) {
    shelf[shelf_name(s.peer())] = std::move(other);
  } else {
    made.lost_peer = std::move(other);
  }
  return fd;
}

Result<void> validate(const pb::UnixSocket& s, const UnixMade& all) {
  if (s.type() != SOCK_STREAM && s.type() != SOCK_DGRAM && s.type() != SOCK_SEQPACKET) {
    return fail(Code::kCorrupt, "a UNIX socket of type " + std::to_string(s.type()));
  }
  if (all.sockets.contains(s.inode())) return fail(Code::kCorrupt, "two UNIX sockets with one inode");
  if (s.bound() && (s.name().empty() || s.name().size() > sizeof(sockaddr_un::sun_path)))
    return fail(Code::kCorrupt, "a UNIX socket's name");
  if (s.role() == pb::UnixSocket::LISTENING && (s.type() == SOCK_DGRAM || !s.bound())) {
    return fail(Code::kCorrupt, "a listening UNIX socket that can't listen");
  }
  return {};
}

}  // namespace

Result<void> restore_unix_peers(RestoreContext& ctx, const std::string& state) {
  pb::UnixPeers peers;
  if (!peers.ParseFromString(state)) return fail(Code::kCorrupt, "the section of UNIX peers can't be parsed");
  for (const auto& end : peers.ends()) unix_made(ctx).ends[end.inode()] = end;
  return {};
}

Result<Fd> restore_unix_socket(RestoreContext& ctx, const pb::OpenFile& file) {
  pb::UnixSocket state;
  if (!state.ParseFromString(file.state())) return fail(Code::kCorrupt, "the state of a UNIX socket can't be parsed");
  UnixMade& all = unix_made(ctx);
  TRY_DO(validate(state, all));
  MadeUnixSocket& made = all.sockets[state.inode()];
  made.id = file.id();
  made.state = std::move(state);
  const pb::UnixSocket& s = made.state;
  if (s.role() == pb::UnixSocket::INHERITED) {
    return ctx.inherit(static_cast<int>(s.inherited_fd()), "socket:[" + std::to_string(s.inode()) + "]");
  }
  Fd fd;
  if (s.type() == SOCK_DGRAM) {
    TRY(fd, make_datagram(ctx, made));
  } else {
    TRY(fd, make_stream(ctx, made));
  }
  TRY_DO(restore_socket_options(fd, s.options(), OptionStage::kBeforeBind));
  TRY_DO(bind_name(ctx, fd, made));
  if (s.role() == pb::UnixSocket::LISTENING) {
    TRY_DO(as_peer_of(s.has_peer_credentials() ? &s.peer_credentials() : nullptr, [&]() -> Result<void> {
      if (::listen(fd.get(), static_cast<int>(s.backlog())) != 0)
        return fail_errno(errno, "listening on a UNIX socket");
      return {};
    }));
  }
  return fd;
}

Result<void> activate_unix_socket(RestoreContext& ctx, const pb::OpenFile& file, const Fd&) {
  for (auto& [inode, made] : unix_made(ctx).sockets) {
    if (made.id == file.id() && made.staged) return made.staged->publish(made.state.node().path());
  }
  return {};
}

}  // namespace godwit::pod
