#include "controller/service_sched.h"

#include <fmt/format.h>

#include "controller/sched_view.h"

namespace godwit::controller {

grpc::Status SchedulingService::authorize(const grpc::ServerContext& context) const {
  if (!parts_.secure || rpc::caller(context, parts_.self) == "client") return grpc::Status::OK;
  return rpc::to_status(Error{Code::kRefused, 0, fmt::format("{} isn't a user", rpc::caller(context, parts_.self))});
}

grpc::Status SchedulingService::Policy(grpc::ServerContext* context, const wire::PolicyRequest* request,
                                       wire::PolicyReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto changed = parts_.ledger.decide([&](const State& s, const Now&) { return set_policy(s, *request); });
  if (!changed) return rpc::to_status(changed.error());
  *reply = changed->reply;
  return grpc::Status::OK;
}

grpc::Status SchedulingService::Plan(grpc::ServerContext* context, const wire::PlanRequest* request,
                                     wire::PlanReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  // Decided without the lock: a policy may take a second, and nothing may wait for the ledger so long.
  const auto question =
      parts_.ledger.read([&](const State& s, const Now& now) { return plan_question(s, now, *request); });
  if (!question) return rpc::to_status(question.error());
  *reply = answer(*question, request->only_progress());
  return grpc::Status::OK;
}

}  // namespace godwit::controller
