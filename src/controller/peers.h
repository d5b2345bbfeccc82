// Peers: one channel a node, made when first needed and kept. A node that moved to another address gets a new one.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "controller/ledger.h"
#include "godwit/control.grpc.pb.h"
#include "rpc/rpc.h"

namespace godwit::controller {

class Peers {
 public:
  using Stub = std::shared_ptr<wire::Node::Stub>;
  Peers(const Ledger& ledger, rpc::Identity identity) : ledger_(ledger), identity_(std::move(identity)) {}

  /// Doesn't connect yet: whether the node answers is seen at the first call.
  Outcome<Stub> node(const std::string& name);
  /// As node(), but a node that is GONE is Code::kPeer at once: for calls that a user waits for.
  Outcome<Stub> live_node(const std::string& name);

 private:
  struct Peer {
    std::string address;
    Stub stub;
  };
  const Ledger& ledger_;
  const rpc::Identity identity_;
  std::mutex mutex_;
  std::map<std::string, Peer> peers_;
};

/// What a node said, with its name.
rpc::Failure failure_at(const std::string& node, const grpc::Status& status);
/// A deadline for a call that should be short.
void limit(grpc::ClientContext& context, std::chrono::milliseconds time);

}  // namespace godwit::controller
