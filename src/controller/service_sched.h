// The Scheduling service: the policy, and plans that aren't carried out.
#pragma once

#include "controller/services.h"
#include "godwit/sched.grpc.pb.h"

namespace godwit::controller {

class SchedulingService final : public wire::Scheduling::Service {
 public:
  explicit SchedulingService(Parts parts) : parts_(std::move(parts)) {}
  grpc::Status Policy(grpc::ServerContext*, const wire::PolicyRequest*, wire::PolicyReply*) override;
  grpc::Status Plan(grpc::ServerContext*, const wire::PlanRequest*, wire::PlanReply*) override;

 private:
  /// OK, or the status for a caller that isn't a user.
  grpc::Status authorize(const grpc::ServerContext& context) const;
  Parts parts_;
};

}  // namespace godwit::controller
