// Cluster: what this node asks the controller. Questions about who owns a unit are asked until they are answered.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "godwit/control.grpc.pb.h"
#include "rpc/rpc.h"

namespace godwit::node {

/// A call to the controller that is open already when a unit stands still for its commit: to open one takes 0.3 ms of the 1.3 that
/// the commit's way takes there and back. For one thread at a time.
class OpenCommit {
 public:
  explicit OpenCommit(wire::Cluster::Stub& stub);
  ~OpenCommit();
  OpenCommit(const OpenCommit&) = delete;
  /// Empty: it must be asked in another way.
  std::optional<wire::CommitReply> ask(const wire::CommitRequest& request);

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<wire::CommitRequest, wire::CommitReply>> stream_;
};

class Cluster {
 public:
  /// `controller` is what its certificate must name; `node` is this one, as it is called there.
  Cluster(const std::string& address, const rpc::Identity& identity, const std::string& controller, std::string node);

  Result<wire::RegisterReply> register_node(const wire::RegisterRequest& request);
  Result<wire::HeartbeatReply> heartbeat(const wire::HeartbeatRequest& request);

  // These return empty only when stop() was called or `wanted` no longer holds: no answer is not an answer.
  using Wanted = std::function<bool()>;
  /// `open`, of open_commit(), is tried first; null: there is none.
  std::optional<wire::CommitReply> commit(const wire::CommitRequest& request, const Wanted& wanted, OpenCommit* open);
  std::unique_ptr<OpenCommit> open_commit() { return std::make_unique<OpenCommit>(*stub_); }
  std::optional<wire::ResolveReply> resolve(const std::string& migration, const std::string& reason,
                                            const Wanted& wanted);
  bool unit_exited(const wire::UnitExitedRequest& request, const Wanted& wanted);

  /// Waits; false when stop() was called.
  bool pause(std::chrono::milliseconds time);
  /// Ends all waiting.
  void stop();
  bool stopping() const { return stopping_; }

 private:
  bool until_answered(const char* what, const Wanted& wanted,
                      const std::function<grpc::Status(grpc::ClientContext&)>& ask);

  const std::string node_;
  const std::unique_ptr<wire::Cluster::Stub> stub_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace godwit::node
