// The gRPC services of the controller. Each call: find, decide (ledger), ask a node, answer. No call holds a lock while
// it waits for a node; each long one looks whether its client is still there.
//
// UserService is one class because gRPC wants one; its calls are in service_units.cc, service_moves.cc,
// service_images.cc and service_streams.cc. ClusterService (the nodes' side, with the commit point) is service_cluster.cc.
#pragma once

#include <atomic>
#include <string>

#include "base/pki.h"
#include "controller/ledger.h"
#include "controller/mover.h"
#include "controller/peers.h"
#include "godwit/control.grpc.pb.h"

namespace godwit::controller {

/// What every call needs. Outlives the server.
struct Parts {
  Ledger& ledger;
  Peers& peers;
  Mover& mover;
  bool secure = true;
  pki::Identity authority;  ///< empty: no node can join through us
  rpc::Identity self;
  const delegation::PrivateKey& log;
};

class UserService final : public wire::Controller::Service {
 public:
  explicit UserService(Parts parts) : parts_(std::move(parts)) {}
  using Context = grpc::ServerContext;
  template <typename Event>
  using Writer = grpc::ServerWriter<Event>;

  grpc::Status Run(Context*, const wire::RunRequest*, wire::UnitReply*) override;
  grpc::Status Ps(Context*, const wire::PsRequest*, wire::PsReply*) override;
  grpc::Status Nodes(Context*, const wire::Empty*, wire::NodesReply*) override;
  grpc::Status Show(Context*, const wire::UnitRequest*, wire::ShowReply*) override;
  grpc::Status Wait(Context*, const wire::WaitRequest*, wire::UnitReply*) override;
  grpc::Status Signal(Context*, const wire::SignalRequest*, wire::Empty*) override;
  grpc::Status Kill(Context*, const wire::UnitRequest*, wire::UnitReply*) override;
  grpc::Status Check(Context*, const wire::CheckRequest*, wire::CheckReply*) override;
  grpc::Status Leave(Context*, const wire::LeaveRequest*, wire::LeaveReply*) override;
  grpc::Status Uncordon(Context*, const wire::NodeRequest*, wire::Empty*) override;
  grpc::Status CreateToken(Context*, const wire::TokenRequest*, wire::TokenReply*) override;
  grpc::Status Trace(Context*, const wire::UnitRequest*, wire::TraceReply*) override;
  grpc::Status Revoke(Context*, const wire::RevokeRequest*, wire::Empty*) override;
  grpc::Status Arm(Context*, const wire::ArmRequest*, wire::Empty*) override;

  grpc::Status Move(Context*, const wire::MoveRequest*, Writer<wire::MoveEvent>*) override;
  grpc::Status Drain(Context*, const wire::DrainRequest*, Writer<wire::DrainEvent>*) override;

  grpc::Status Checkpoint(Context*, const wire::CheckpointRequest*, Writer<wire::CheckpointEvent>*) override;
  grpc::Status History(Context*, const wire::UnitRequest*, wire::HistoryReply*) override;
  grpc::Status Forget(Context*, const wire::ForgetRequest*, wire::ForgetReply*) override;
  using RestoreStream = grpc::ServerReaderWriter<wire::RestoreEvent, wire::RestoreInput>;
  grpc::Status Restore(Context*, RestoreStream*) override;
  grpc::Status FetchCheckpoint(Context*, const wire::FetchCheckpointRequest*, Writer<wire::Data>*) override;

  grpc::Status Logs(Context*, const wire::LogsRequest*, Writer<wire::Data>*) override;
  grpc::Status Attach(Context*, grpc::ServerReaderWriter<wire::AttachOutput, wire::AttachInput>*) override;

 private:
  Outcome<wire::Unit> find(const std::string& word) const;
  /// OK, or the status for a caller that isn't a user.
  grpc::Status authorize(const Context& context) const;
  Outcome<wire::Unit> launch(const RunPlan& plan);
  Outcome<wire::Unit> restore(const RestorePlan& plan, const std::string& image, uint32_t number,
                              const std::function<void(const wire::Progress&)>& progress);
  /// An image file that a user sent, on the node that took it.
  struct Brought {
    std::string where;
    Peers::Stub node;
    wire::PutReply image;
  };
  Outcome<Brought> bring(const wire::RestoreWhat& what, RestoreStream* stream);
  void drop_plain(const Brought& brought) const;
  Outcome<wire::Checkpoint> kept(const wire::RestoreWhat& what, wire::Unit& of) const;
  Outcome<wire::Unit> restore_as(const wire::Unit& of, uint32_t number, const RestoreWish& wish,
                                 const std::string& image, const std::function<void(const wire::Progress&)>& progress);
  std::vector<wire::NodeAddress> addresses(const google::protobuf::RepeatedPtrField<std::string>& nodes) const;
  void drop_copies(wire::Checkpoint& checkpoint) const;
  void copy_elsewhere(wire::Checkpoint& checkpoint, const std::function<void(const wire::Progress&)>& progress);

  Parts parts_;
};

class ClusterService final : public wire::Cluster::Service {
 public:
  explicit ClusterService(Parts parts) : parts_(std::move(parts)) {}
  using Context = grpc::ServerContext;
  grpc::Status Register(Context*, const wire::RegisterRequest*, wire::RegisterReply*) override;
  grpc::Status Heartbeat(Context*, const wire::HeartbeatRequest*, wire::HeartbeatReply*) override;
  grpc::Status Commit(Context*, const wire::CommitRequest*, wire::CommitReply*) override;
  grpc::Status CommitSoon(Context*, grpc::ServerReaderWriter<wire::CommitReply, wire::CommitRequest>*) override;
  grpc::Status Resolve(Context*, const wire::ResolveRequest*, wire::ResolveReply*) override;
  grpc::Status UnitExited(Context*, const wire::UnitExitedRequest*, wire::Empty*) override;

 private:
  /// OK, or the status for a caller that speaks for another node than its certificate names.
  grpc::Status authorize(const Context& context, const std::string& node) const;
  Parts parts_;
  std::atomic<int> open_commits_ = 0;
};

class JoinService final : public wire::Join::Service {
 public:
  explicit JoinService(Parts parts) : parts_(std::move(parts)) {}
  grpc::Status Join(grpc::ServerContext*, const wire::JoinRequest*, wire::JoinReply*) override;

 private:
  Parts parts_;
};

}  // namespace godwit::controller
