// Move and drain. The moves themselves belong to the Mover; these calls only watch.
#include <fmt/format.h>

#include "base/base.h"
#include "controller/delegated.h"
#include "controller/leave.h"
#include "controller/sched_view.h"
#include "controller/services.h"

namespace godwit::controller {

namespace {

// A unit that became another while it was moved (a process tree took another shape) is likely to stand still for the next try.
constexpr int kTries = 4;

/// A move and its progress, from the plan to the report.
template <typename Event>
Outcome<wire::Report> move_to(Parts& parts, const std::string& unit, const std::string& to,
                              const wire::MoveOptions& options, Event& event, grpc::ServerWriter<Event>* writer,
                              const std::function<bool()>& cancelled) {
  for (int tries = 1;; tries++) {
    TRY(const auto move, parts.mover.start(unit, to, options));
    size_t cursor = 0;
    while (move->next(&cursor, event.mutable_progress(), cancelled)) (void)writer->Write(event);
    auto result = move->result(cancelled);
    if (!result) return failure(Code::kGone, "the caller left; the move goes on");
    if (*result || result->error().error.code != Code::kChanged) return *result;
    if (tries == kTries) {
      rpc::Failure why = result->error();
      why.error = Error{Code::kFailed, 0, fmt::format("{} tries: {}", kTries, why.error.text)};
      return std::unexpected(std::move(why));
    }
  }
}

}  // namespace

grpc::Status UserService::Move(Context* context, const wire::MoveRequest* request, Writer<wire::MoveEvent>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  const auto cancelled = [&] { return context->IsCancelled(); };
  wire::MoveEvent event;
  const auto moved = move_to(parts_, request->unit(), request->to(), request->options(), event, writer, cancelled);
  if (!moved) return rpc::to_status(moved.error());
  event.Clear();
  *event.mutable_report() = *moved;
  (void)writer->Write(event);
  return grpc::Status::OK;
}

namespace {

/// Moves one unit to where the plan wants it; when it wants nothing, or that node takes nothing any more, to the least loaded of the
/// others. What fails is said in the events; the next unit goes on.
Outcome<wire::Report> drain_one(Parts& parts, const std::string& unit, const wire::DrainRequest& request,
                                const std::string& wanted, wire::DrainEvent& event,
                                grpc::ServerWriter<wire::DrainEvent>* writer, const std::function<bool()>& cancelled) {
  TRY(const std::string to, parts.ledger.read([&](const State& s, const Now& now) -> Outcome<std::string> {
    TRY(const wire::Unit found, find_unit(s, unit));
    const auto node = s.nodes.find(wanted);
    if (node != s.nodes.end() && node_state(s, now, node->second) == wire::READY) return wanted;
    auto without = forbidden_nodes_of(s, found.id());
    without.insert(request.node());
    return place(s, now, without, fits_of(s, found));
  }));
  event.set_to(to);
  return move_to(parts, unit, to, request.options(), event, writer, cancelled);
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
  // One plan for all of them: what it knows of a unit that has just been moved is little (sched_view.h). Decided without the lock, as
  // a policy may take a second.
  const auto wanted = emptying(
      parts_.ledger.read([&](const State& s, const Now& now) { return emptying_question(s, now, request->node()); }));
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
    const auto to = wanted.find(unit);
    auto moved = drain_one(parts_, unit, *request, to == wanted.end() ? "" : to->second, event, writer, cancelled);
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

// The moves are the rescheduler's: the caller needn't stay.
grpc::Status UserService::Leave(Context* context, const wire::LeaveRequest* request, wire::LeaveReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto plan = parts_.ledger.decide([&](const State& s, const Now& now) { return plan_leave(s, now, *request); });
  if (!plan) return rpc::to_status(plan.error());
  log::info("node {} leaves in {:.0f} s units={}", request->node(), request->seconds(), plan->units.size());
  *reply->mutable_node() = plan->node;
  for (const auto& unit : plan->units) *reply->add_units() = unit;
  return grpc::Status::OK;
}

}  // namespace godwit::controller
