// UNIX sockets: what needs more than two of them, done once, at the first connect(), when all files exist:
//     clients into the backlogs → queues are filled (messages may hold any file) → datagram sockets connect (from then
//     on they take messages from their peer only) → what was shut down is → peers that were gone go → options
// The order is the point: each step would forbid one that comes before it.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "base/log.h"
#include "godwit/pod.pb.h"
#include "pod/kinds/socket_options.h"
#include "pod/kinds/unix_made.h"
#include "pod/kinds/unix_name.h"
#include "pod/kinds/unix_queue.h"
#include "pod/kinds/unix_socket.h"

namespace godwit::pod {
namespace {

// One side sends, `size` bytes are to fit: its buffer grows for now; the options at the end set it right again.
void make_room(const Fd& sender, size_t size) {
  const int want = static_cast<int>(std::min<size_t>(size * 4 + (64 << 10), 1u << 30));
  if (auto now = int_option(sender, SOL_SOCKET, SO_SNDBUF); now && *now >= want) return;
  (void)set_buffer_size(sender, SO_SNDBUF, want);
}

// Runs `action` with an address that leads to `server`, whose name may not be in its place yet.
Result<void> reach(const MadeUnixSocket& server, const std::function<Result<void>(const UnixAddress&)>& action) {
  if (server.staged) return server.staged->reach(action);
  TRY(const UnixAddress address, unix_address(server.state.name()));
  return action(address);
}

Result<void> connect_by_name(const Fd& client, const MadeUnixSocket& server) {
  return reach(server, [&](const UnixAddress& address) -> Result<void> {
    if (::connect(client.get(), address.get(), address.length) != 0)
      return fail_errno(errno, "connecting UNIX sockets");
    return {};
  });
}

Result<void> fill_backlog(RestoreContext& ctx, UnixMade& all, const MadeUnixSocket& listener) {
  TRY(const Fd* fd, ctx.file(listener.id));
  const auto& waiting = listener.state.waiting();
  if (waiting.empty()) return {};
  // A later listen(2) may have made the backlog smaller than what waits in it.
  if (::listen(fd->get(), waiting.size()) != 0) return fail_errno(errno, "listening on a UNIX socket");
  for (const uint64_t inode : waiting) {
    const auto client = all.sockets.find(inode);
    if (client == all.sockets.end()) return fail(Code::kCorrupt, "a waiting client isn't in the state");
    TRY(const Fd* client_fd, ctx.file(client->second.id));
    // accept(2)'s socket shows who connected: the best there is, is who made the client's socket.
    const auto& s = client->second.state;
    TRY_DO(with_identity(s.uid(), ::getegid(), [&] { return connect_by_name(*client_fd, listener); }));
  }
  if (::listen(fd->get(), static_cast<int>(listener.state.backlog())) != 0) return fail_errno(errno, "listening");
  return {};
}

// A socket to send a message of `receiver`'s queue with, as its original sender or in its name.
Result<const Fd*> datagram_sender(RestoreContext& ctx, UnixMade& all, const MadeUnixSocket& receiver,
                                  const pb::UnixMessage& m, Fd& own) {
  if (receiver.lost_peer.valid()) return &receiver.lost_peer;
  if (receiver.state.paired()) {
    const auto peer = all.sockets.find(receiver.state.peer());
    if (peer == all.sockets.end()) return fail(Code::kCorrupt, "half of a pair of sockets is missing");
    return ctx.file(peer->second.id);
  }
  if (!m.from_name().empty()) {
    for (const auto& [inode, sender] : all.sockets) {
      if (sender.state.type() == SOCK_DGRAM && sender.state.name() == m.from_name()) return ctx.file(sender.id);
    }
  }
  TRY(own, new_unix_socket(SOCK_DGRAM));
  if (!m.from_name().empty()) {  // the sender is gone: another bears its name while this is sent
    if (m.from_name()[0] == '\0') {
      TRY(const UnixAddress address, unix_address(m.from_name()));
      if (::bind(own.get(), address.get(), address.length) != 0) log::warn("the name of a message's sender is lost");
    } else {
      TRY_DO(StagedName::bind(own, m.from_name(), ctx.scratch_dir()));
    }
  }
  return &own;
}

Result<void> fill_queue(RestoreContext& ctx, UnixMade& all, MadeUnixSocket& receiver) {
  const pb::UnixSocket& s = receiver.state;
  if (s.queue().empty()) return {};
  const int type = static_cast<int>(s.type());
  if (type != SOCK_DGRAM) {
    const Fd* sender = &receiver.lost_peer;
    if (!sender->valid()) {
      const auto peer = all.sockets.find(s.peer());
      if (peer == all.sockets.end()) return fail(Code::kCorrupt, "a socket with unread data but without a peer");
      TRY(sender, ctx.file(peer->second.id));
    }
    size_t total = 0;
    for (const auto& m : s.queue()) total += m.data().size() + 1024;
    make_room(*sender, total);
    for (const auto& m : s.queue()) TRY_DO(send_unix_message(ctx, *sender, type, m));
    return {};
  }
  auto send_all = [&](const UnixAddress* to) -> Result<void> {
    for (const auto& m : s.queue()) {
      Fd own;
      TRY(const Fd* sender, datagram_sender(ctx, all, receiver, m, own));
      make_room(*sender, m.data().size() + 1024);
      TRY_DO(send_unix_message(ctx, *sender, type, m, to));
    }
    return {};
  };
  if (receiver.lost_peer.valid() || s.paired()) return send_all(nullptr);
  // By address: to connect and disconnect a sender would empty its own queue (unix_dgram_disconnected).
  return reach(receiver, [&](const UnixAddress& to) { return send_all(&to); });
}

Result<void> connect_datagram(RestoreContext& ctx, UnixMade& all, const MadeUnixSocket& made) {
  const pb::UnixSocket& s = made.state;
  if (s.type() != SOCK_DGRAM || s.role() != pb::UnixSocket::CONNECTED || s.paired() || s.peer_gone()) return {};
  TRY(const Fd* fd, ctx.file(made.id));
  if (!s.outside_name().empty()) {
    TRY(const UnixAddress address, unix_address(s.outside_name()));
    if (::connect(fd->get(), address.get(), address.length) == 0) return {};
    // As if that service had been restarted meanwhile: the next send fails and the program connects again, as syslog(3) does.
    log::warn("nobody listens on {} here; a datagram socket that was connected to it is not", s.outside_name());
    return {};
  }
  const auto peer = all.sockets.find(s.peer());
  if (peer == all.sockets.end()) return fail(Code::kCorrupt, "a datagram socket's peer isn't in the state");
  return connect_by_name(*fd, peer->second);
}

Result<void> end_connections(RestoreContext& ctx, MadeUnixSocket& made) {
  const pb::UnixSocket& s = made.state;
  TRY(const Fd* fd, ctx.file(made.id));
  if (made.lost_peer.valid()) {
    if (s.reset()) (void)::send(fd->get(), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);  // unread at its close: ECONNRESET here
    made.lost_peer.reset();
  }
  // On a stream the peer's side follows by itself, as it did when it was first shut down.
  if ((s.shutdown() & 1) != 0) (void)::shutdown(fd->get(), SHUT_RD);
  if ((s.shutdown() & 2) != 0) (void)::shutdown(fd->get(), SHUT_WR);
  return {};
}

Result<void> connect_all(RestoreContext& ctx, UnixMade& all) {
  for (auto& [inode, made] : all.sockets) {
    if (made.state.role() == pb::UnixSocket::LISTENING) TRY_DO(fill_backlog(ctx, all, made));
  }
  for (auto& [inode, made] : all.sockets) TRY_DO(fill_queue(ctx, all, made));
  for (auto& [inode, made] : all.sockets) TRY_DO(connect_datagram(ctx, all, made));
  for (auto& [inode, made] : all.sockets) TRY_DO(end_connections(ctx, made));
  for (auto& [inode, made] : all.sockets) {
    if (made.state.role() == pb::UnixSocket::INHERITED) continue;
    TRY(const Fd* fd, ctx.file(made.id));
    TRY_DO(restore_socket_options(*fd, made.state.options(), OptionStage::kAtEnd));
  }
  return {};
}

}  // namespace

Result<void> connect_unix_socket(RestoreContext& ctx, const pb::OpenFile&, const Fd&) {
  UnixMade& all = unix_made(ctx);
  if (all.connected) return {};
  all.connected = true;
  return connect_all(ctx, all);
}

}  // namespace godwit::pod
