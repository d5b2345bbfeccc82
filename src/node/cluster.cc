#include "node/cluster.h"  // first, so that the header proves self-contained

#include <algorithm>

#include "base/log.h"

namespace godwit::node {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kCallLimit{3'000};
constexpr milliseconds kFirstPause{20};
constexpr milliseconds kLongestPause{1'000};

void limit(grpc::ClientContext& context) { context.set_deadline(std::chrono::system_clock::now() + kCallLimit); }

}  // namespace

OpenCommit::OpenCommit(wire::Cluster::Stub& stub) {
  limit(context_);
  stream_ = stub.CommitSoon(&context_);
}

OpenCommit::~OpenCommit() {
  context_.TryCancel();
  (void)stream_->Finish();
}

std::optional<wire::CommitReply> OpenCommit::ask(const wire::CommitRequest& request) {
  wire::CommitReply reply;
  if (!stream_->Write(request) || !stream_->Read(&reply)) return std::nullopt;
  return reply;
}

Cluster::Cluster(const std::string& address, const rpc::Identity& identity, const std::string& controller,
                 std::string node)
    : node_(std::move(node)), stub_(wire::Cluster::NewStub(rpc::channel(address, identity, controller))) {}

Result<wire::RegisterReply> Cluster::register_node(const wire::RegisterRequest& request) {
  grpc::ClientContext context;
  limit(context);
  wire::RegisterReply reply;
  TRY_DO(rpc::check(stub_->Register(&context, request, &reply)));
  return reply;
}

Result<wire::HeartbeatReply> Cluster::heartbeat(const wire::HeartbeatRequest& request) {
  grpc::ClientContext context;
  limit(context);
  wire::HeartbeatReply reply;
  TRY_DO(rpc::check(stub_->Heartbeat(&context, request, &reply)));
  return reply;
}

bool Cluster::until_answered(const char* what, const Wanted& wanted,
                             const std::function<grpc::Status(grpc::ClientContext&)>& ask) {
  milliseconds next = kFirstPause;
  for (bool told = false; !stopping_ && wanted();) {
    grpc::ClientContext context;
    limit(context);
    const grpc::Status status = ask(context);
    if (status.ok()) return true;
    if (!std::exchange(told, true)) log::warn("{}: no answer yet: {}", what, rpc::failure_of(status).error.text);
    (void)pause(next);
    next = std::min(next * 2, kLongestPause);
  }
  return false;
}

std::optional<wire::CommitReply> Cluster::commit(const wire::CommitRequest& request, const Wanted& wanted,
                                                 OpenCommit* open) {
  if (open != nullptr) {
    if (auto answered = open->ask(request)) return answered;
  }
  wire::CommitReply reply;
  if (!until_answered("commit", wanted, [&](grpc::ClientContext& c) { return stub_->Commit(&c, request, &reply); })) {
    return std::nullopt;
  }
  return reply;
}

std::optional<wire::ResolveReply> Cluster::resolve(const std::string& migration, const std::string& reason,
                                                   const Wanted& wanted) {
  wire::ResolveRequest request;
  request.set_reason(reason);
  request.set_migration(migration);
  request.set_node(node_);
  wire::ResolveReply reply;
  const auto ask = [&](grpc::ClientContext& c) {
    const auto status = stub_->Resolve(&c, request, &reply);
    if (!status.ok() || reply.state() == wire::COMMITTED || reply.state() == wire::ABORTED) return status;
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the controller's answer isn't final");
  };
  if (!until_answered("resolve", wanted, ask)) return std::nullopt;
  return reply;
}

bool Cluster::unit_exited(const wire::UnitExitedRequest& request, const Wanted& wanted) {
  wire::Empty reply;
  return until_answered("end of a unit", wanted,
                        [&](grpc::ClientContext& c) { return stub_->UnitExited(&c, request, &reply); });
}

bool Cluster::pause(milliseconds time) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, time, [&] { return stopping_.load(); });
}

void Cluster::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

}  // namespace godwit::node
