// The Node service (proto/godwit/control.proto): gRPC on one side, Daemon on the other.
#pragma once

#include "node/daemon.h"

namespace godwit::node {

class NodeService : public wire::Node::Service {
 public:
  explicit NodeService(Daemon& daemon) : daemon_(daemon) {}

  using Context = grpc::ServerContext;
  template <typename T>
  using Writer = grpc::ServerWriter<T>;

  grpc::Status Launch(Context*, const wire::LaunchRequest*, wire::UnitLoad*) override;
  grpc::Status Prepare(Context*, const wire::PrepareRequest*, wire::PrepareReply*) override;
  grpc::Status Migrate(Context*, const wire::MigrateRequest*, Writer<wire::MoveEvent>*) override;
  grpc::Status Release(Context*, const wire::ReleaseRequest*, wire::Empty*) override;
  grpc::Status Discard(Context*, const wire::Disown*, wire::Empty*) override;
  grpc::Status Signal(Context*, const wire::SignalRequest*, wire::Empty*) override;
  grpc::Status Kill(Context*, const wire::UnitRequest*, wire::Empty*) override;
  grpc::Status Logs(Context*, const wire::LogsRequest*, Writer<wire::Data>*) override;
  grpc::Status Attach(Context*, grpc::ServerReaderWriter<wire::AttachOutput, wire::AttachInput>*) override;
  grpc::Status Checkpoint(Context*, const wire::CheckpointNodeRequest*, Writer<wire::CheckpointNodeEvent>*) override;
  grpc::Status Restore(Context*, const wire::RestoreNodeRequest*, Writer<wire::RestoreNodeEvent>*) override;
  grpc::Status Pull(Context*, const wire::PullRequest*, Writer<wire::MoveEvent>*) override;
  grpc::Status Fetch(Context*, const wire::ImageRequest*, Writer<wire::Data>*) override;
  grpc::Status Put(Context*, grpc::ServerReader<wire::Data>*, wire::PutReply*) override;
  grpc::Status DropImage(Context*, const wire::ImageRequest*, wire::Empty*) override;
  grpc::Status Check(Context*, const wire::NodeCheckRequest*, wire::CheckReply*) override;
  grpc::Status Admit(Context*, const wire::AdmitRequest*, wire::AdmitReply*) override;
  grpc::Status Status(Context*, const wire::Empty*, wire::StatusReply*) override;
  grpc::Status Arm(Context*, const wire::ArmRequest*, wire::Empty*) override;

 private:
  enum class Asker { kController, kOwnNode, kAnyNode };
  /// The controller may ask for anything; another node, of this site or of another that is trusted, only where it says so.
  grpc::Status authorize(const Context& context, Asker asker = Asker::kController) const;
  Outcome<wire::keeper::Packet> ask(const std::string& unit, wire::keeper::Packet packet,
                                    std::chrono::milliseconds limit = std::chrono::seconds(20)) const;

  Daemon& daemon_;
};

}  // namespace godwit::node
