// Move and drain. The moves themselves belong to the Mover; these calls only watch.
#include <fmt/format.h>

#include "controller/services.h"

namespace godwit::controller {

grpc::Status UserService::Move(Context* context, const wire::MoveRequest* request, Writer<wire::MoveEvent>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto move = parts_.mover.start(request->unit(), request->to(), request->options());
  if (!move) return rpc::to_status(move.error());
  const auto cancelled = [&] { return context->IsCancelled(); };
  size_t cursor = 0;
  wire::MoveEvent event;
  while ((*move)->next(&cursor, event.mutable_progress(), cancelled)) (void)writer->Write(event);
  const auto result = (*move)->result(cancelled);
  if (!result) return {grpc::StatusCode::CANCELLED, "the move goes on"};
  if (!*result) return rpc::to_status(result->error());
  event.Clear();
  *event.mutable_report() = **result;
  (void)writer->Write(event);
  return grpc::Status::OK;
}

namespace {

/// Moves one unit to the least loaded of the others. What fails is said in the events; the next unit goes on.
Outcome<wire::Report> drain_one(Parts& parts, const std::string& unit, const wire::DrainRequest& request,
                                wire::DrainEvent& event, grpc::ServerWriter<wire::DrainEvent>* writer,
                                const std::function<bool()>& cancelled) {
  TRY(const std::string to, parts.ledger.read([&](const State& s, const Now& now) {
    const auto node = s.nodes.find(request.node());
    return place(s, now, {request.node()}, node == s.nodes.end() ? "" : node->second.arch());
  }));
  event.set_to(to);
  TRY(const auto move, parts.mover.start(unit, to, request.options()));
  size_t cursor = 0;
  while (move->next(&cursor, event.mutable_progress(), cancelled)) (void)writer->Write(event);
  auto result = move->result(cancelled);
  if (!result) return failure(Code::kGone, "the caller left; the move goes on");
  return *result;
}

void fill(wire::Failure* out, const rpc::Failure& why) {
  out->set_code(static_cast<int>(why.error.code));
  out->set_errnum(why.error.errnum);
  out->set_text(why.error.text);
  for (const auto& b : why.blockers) {
    auto* blocker = out->add_blockers();
    blocker->set_code(b.code);
    blocker->set_object(b.object);
    blocker->set_reason(b.reason);
    blocker->set_lift(b.lift);
  }
}

}  // namespace

grpc::Status UserService::Drain(Context* context, const wire::DrainRequest* request, Writer<wire::DrainEvent>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto plan = parts_.ledger.decide([&](const State& s, const Now& now) { return plan_drain(s, now, request->node()); });
  if (!plan) return rpc::to_status(plan.error());
  const auto cancelled = [&] { return context->IsCancelled(); };
  for (const auto& unit : plan->units) {
    if (cancelled()) break;
    // A unit that is on its way somewhere already: let that end first, then see where it is.
    (void)parts_.ledger.wait([&](const State& s, const Now&) { return open_migration(s, unit) == nullptr; },
                             std::chrono::minutes(10), cancelled);
    const bool still_here = parts_.ledger.read([&](const State& s, const Now&) {
      const auto it = s.units.find(unit);
      return it != s.units.end() && it->second.node() == request->node() && is_live(it->second);
    });
    if (!still_here) continue;
    wire::DrainEvent event;
    event.set_unit(unit);
    auto moved = drain_one(parts_, unit, *request, event, writer, cancelled);
    if (moved)
      *event.mutable_moved() = *moved;
    else
      fill(event.mutable_failed(), moved.error());
    (void)writer->Write(event);
  }
  wire::DrainEvent last;
  last.set_finished(true);
  (void)writer->Write(last);
  return grpc::Status::OK;
}

}  // namespace godwit::controller
