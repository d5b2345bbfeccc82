#include "controller/peers.h"

#include <fmt/format.h>

namespace godwit::controller {

Outcome<Peers::Stub> Peers::node(const std::string& name) {
  TRY(const wire::NodeInfo info, ledger_.read([&](const State& s, const Now&) { return find_node(s, name); }));
  const std::lock_guard lock(mutex_);
  Peer& peer = peers_[name];
  if (!peer.stub || peer.address != info.control()) {
    peer.address = info.control();
    peer.stub = wire::Node::NewStub(rpc::channel(info.control(), identity_, name));
  }
  return peer.stub;
}

Outcome<Peers::Stub> Peers::live_node(const std::string& name) {
  if (ledger_.read([&](const State& s, const Now& now) { return is_gone(s, now, name); }))
    return failure(Code::kPeer, fmt::format("node {} doesn't answer; see: godwit nodes", name));
  return node(name);
}

rpc::Failure failure_at(const std::string& node, const grpc::Status& status) {
  auto why = rpc::failure_of(status);
  why.error = why.error.in("node " + node);
  return why;
}

void limit(grpc::ClientContext& context, std::chrono::milliseconds time) {
  context.set_deadline(std::chrono::system_clock::now() + time);
}

}  // namespace godwit::controller
