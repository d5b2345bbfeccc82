// Checkpoint, history, restore. Images lie on nodes; the controller knows which node holds which.
//
// A checkpoint that only the unit's own node holds dies with that node, so each is copied to one other node before it is
// reported as done. The unit runs on meanwhile.
#include <fmt/format.h>

#include "base/base.h"
#include "controller/delegated.h"
#include "controller/sched_view.h"
#include "controller/services.h"
#include "controller/token.h"

namespace godwit::controller {
namespace {

using std::chrono::milliseconds;

rpc::Failure from_node(const std::string& node, const grpc::Status& status) {
  auto why = rpc::failure_of(status);
  why.error = why.error.in("node " + node);
  return why;
}

/// The number that the unit's next checkpoint gets.
uint32_t next_number(const State& s, const std::string& unit) {
  uint32_t number = 1;
  for (auto it = s.checkpoints.lower_bound({unit, 0}); it != s.checkpoints.end() && it->first.first == unit; ++it)
    number = it->first.second + 1;
  return number;
}

}  // namespace

std::vector<wire::NodeAddress> UserService::addresses(
    const google::protobuf::RepeatedPtrField<std::string>& nodes) const {
  return parts_.ledger.read([&](const State& s, const Now& now) {
    std::vector<wire::NodeAddress> out;
    for (const auto& name : nodes) {
      const auto node = s.nodes.find(name);
      if (node == s.nodes.end() || is_gone(s, now, name)) continue;
      wire::NodeAddress address;
      address.set_name(name);
      address.set_control(node->second.control());
      out.push_back(address);
    }
    return out;
  });
}

void UserService::copy_elsewhere(wire::Checkpoint& checkpoint,
                                 const std::function<void(const wire::Progress&)>& progress) {
  const std::set<std::string> have(checkpoint.nodes().begin(), checkpoint.nodes().end());
  auto other = parts_.ledger.read([&](const State& s, const Now& now) {
    auto without = foreign_nodes(s);  // at rest it stays in its site
    without.insert(have.begin(), have.end());
    return place(s, now, without, kAnywhere);
  });
  if (!other) return;  // there is no other node: the checkpoint is as safe as it can be
  auto node = parts_.peers.node(*other);
  if (!node) return;
  wire::PullRequest request;
  request.set_image(checkpoint.image());
  for (const auto& a : addresses(checkpoint.nodes())) *request.add_holders() = a;
  grpc::ClientContext call;
  const auto stream = (*node)->Pull(&call, request);
  wire::MoveEvent event;
  while (stream->Read(&event))
    if (event.has_progress()) progress(event.progress());
  if (const auto status = stream->Finish(); !status.ok())
    log::warn("checkpoint {}@{} has one copy only: {}: {}", checkpoint.unit(), checkpoint.number(), *other,
              status.error_message());
  else
    checkpoint.add_nodes(*other);
}

grpc::Status UserService::Checkpoint(Context* context, const wire::CheckpointRequest* request,
                                     Writer<wire::CheckpointEvent>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = find(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  if (unit->state() != wire::RUNNING)
    return rpc::to_status(Error{
        Code::kRefused, 0, fmt::format("{} isn't running; see: godwit show {}", unit->spec().name(), request->unit())});
  if (auto why = parts_.ledger.read(
          [&](const State& s, const Now& now) { return blockers(s, now, unit->id(), delegation::kCheckpoint, ""); });
      !why.empty())
    return rpc::to_status(
        Error{Code::kRefused, 0,
              fmt::format("{}'s state can't be kept: its delegation forbids it", unit->spec().name())},
        why);
  auto node = parts_.peers.live_node(unit->node());
  if (!node) return rpc::to_status(node.error());

  const auto show = [&](const wire::Progress& p) {
    wire::CheckpointEvent event;
    *event.mutable_progress() = p;
    (void)writer->Write(event);
  };
  wire::CheckpointNodeRequest ask;
  ask.set_unit(unit->id());
  ask.set_number(parts_.ledger.read([&](const State& s, const Now&) { return next_number(s, unit->id()); }));
  ask.set_tcp(request->tcp());
  // How far it is before: what an image surely holds, and not what is done while it is written.
  Changes work;
  parts_.ledger.read([&](const State& s, const Now&) {
    if (const auto it = s.units.find(unit->id()); it != s.units.end()) keep_work_at(s, it->second, ask.number(), work);
    return 0;
  });
  std::optional<wire::Checkpoint> done;
  {
    // Not bound to the caller's call: a checkpoint that has begun is kept, whoever still listens.
    grpc::ClientContext call;
    const auto stream = (*node)->Checkpoint(&call, ask);
    wire::CheckpointNodeEvent event;
    while (stream->Read(&event)) {
      if (event.has_progress()) show(event.progress());
      if (event.has_done()) done = event.done();
    }
    if (const auto status = stream->Finish(); !status.ok()) return rpc::to_status(from_node(unit->node(), status));
  }
  if (!done) return rpc::to_status(Error{Code::kPeer, 0, fmt::format("node {} sent no checkpoint", unit->node())});
  done->set_unit(unit->id());
  if (done->number() == 0) done->set_number(ask.number());
  done->set_epoch(unit->epoch());
  done->clear_nodes();
  done->add_nodes(unit->node());
  const auto keep = [&] {
    return parts_.ledger.decide([&](const State&, const Now& now) {
      if (done->time_ms() == 0) done->set_time_ms(now.wall_ms);
      Changes changes = work;
      changes.checkpoints.push_back(*done);
      return changes;
    });
  };
  if (auto kept = keep(); !kept) return rpc::to_status(kept.error());
  copy_elsewhere(*done, show);
  if (done->nodes_size() > 1) (void)keep();

  wire::CheckpointEvent event;
  *event.mutable_done() = *done;
  (void)writer->Write(event);
  if (!request->want_file()) return grpc::Status::OK;
  wire::ImageRequest fetch;
  fetch.set_image(done->image());
  grpc::ClientContext call;
  const auto stream = (*node)->Fetch(&call, fetch);
  wire::Data data;
  while (stream->Read(&data)) {
    *event.mutable_data() = std::move(*data.mutable_data());
    if (!writer->Write(event)) call.TryCancel();
  }
  const auto status = stream->Finish();
  return status.ok() ? status : rpc::to_status(from_node(unit->node(), status));
}

grpc::Status UserService::History(Context* context, const wire::UnitRequest* request, wire::HistoryReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = find(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  parts_.ledger.read([&](const State& s, const Now&) {
    for (auto it = s.checkpoints.lower_bound({unit->id(), 0});
         it != s.checkpoints.end() && it->first.first == unit->id(); ++it)
      *reply->add_checkpoints() = it->second;
    return 0;
  });
  return grpc::Status::OK;
}

/// The node builds the unit from the image. When it says no, the row goes back to what it was; when it says nothing, the
/// row keeps the new epoch and the unit is lost until that node is heard of: it may run there.
Outcome<wire::Unit> UserService::restore(const RestorePlan& plan, const std::string& image, uint32_t number,
                                         const std::function<void(const wire::Progress&)>& progress) {
  const wire::Unit& unit = plan.unit;
  TRY(const auto node, parts_.peers.node(unit.node()));
  wire::RestoreNodeRequest request;
  request.set_unit(unit.id());
  request.set_epoch(unit.epoch());
  request.set_image(image);
  *request.mutable_spec() = unit.spec();
  request.set_token(parts_.ledger.read([&](const State& s, const Now&) {
    const auto of = plan.old.id().empty() ? unit.parent().substr(0, unit.parent().find('@')) : unit.id();
    if (const auto it = s.checkpoints.find({of, number}); it != s.checkpoints.end() && it->second.image() == image)
      for (const auto& holder : it->second.nodes()) {
        const auto at = s.nodes.find(holder);
        if (at == s.nodes.end()) continue;
        auto* address = request.add_holders();
        address->set_name(holder);
        address->set_control(at->second.control());
      }
    return epoch_token(s.secret, unit.id(), unit.epoch(), unit.node());
  }));
  grpc::ClientContext call;
  const auto stream = node->Restore(&call, request);
  wire::RestoreNodeEvent event;
  bool done = false;
  while (stream->Read(&event)) {
    if (event.has_progress()) progress(event.progress());
    done = done || event.has_done();
  }
  const grpc::Status status = stream->Finish();
  const bool unknown = !status.ok() && rpc::failure_of(status).error.code == Code::kPeer;
  auto settled = parts_.ledger.decide([&](const State& s, const Now&) {
    Changes changes;
    const auto it = s.units.find(unit.id());
    if (it == s.units.end() || it->second.state() != wire::STARTING || it->second.epoch() != unit.epoch())
      return changes;
    wire::Unit now_is = it->second;
    if (status.ok() && done) {
      now_is.set_state(wire::RUNNING);
    } else if (unknown) {
      now_is.set_state(wire::LOST);
    } else if (plan.old.id().empty()) {
      changes.removed_units.push_back(unit.id());
      return changes;
    } else {
      now_is = plan.old;
      put_back_work(unit.id(), plan.old_work, changes);
    }
    changes.units.push_back(now_is);
    return changes;
  });
  if (!settled) return std::unexpected(settled.error());
  if (!status.ok()) return std::unexpected(from_node(unit.node(), status));
  if (!done) return failure(Code::kPeer, fmt::format("node {} ended the restore without a word", unit.node()));
  log::info("unit restored unit={} image={} node={} epoch={}", unit.id(), image, unit.node(), unit.epoch());
  return find(unit.id());
}

namespace {

/// Hands the rest of the client's stream, an image file, to a node, which verifies and keeps it.
Outcome<wire::PutReply> put_file(grpc::ServerReaderWriter<wire::RestoreEvent, wire::RestoreInput>* stream,
                                 const Peers::Stub& node, const std::string& name) {
  grpc::ClientContext call;
  wire::PutReply reply;
  const auto out = node->Put(&call, &reply);
  wire::RestoreInput input;
  wire::RestoreEvent event;
  uint64_t sent = 0;
  while (stream->Read(&input)) {
    wire::Data data;
    data.set_offset(sent);
    sent += input.data().size();
    *data.mutable_data() = std::move(*input.mutable_data());
    if (!out->Write(data)) break;
    event.mutable_progress()->set_step("transfer");
    event.mutable_progress()->set_bytes_done(sent);
    (void)stream->Write(event);
  }
  (void)out->WritesDone();
  const auto status = out->Finish();
  if (!status.ok()) return std::unexpected(from_node(name, status));
  return reply;
}

/// The unit that an image file is of: the known one, or one made from what the image says.
wire::Unit unit_of(const State& s, const wire::PutReply& image) {
  if (const auto it = s.units.find(image.unit()); it != s.units.end()) return it->second;
  wire::Unit unit;
  unit.set_id(image.unit());
  *unit.mutable_spec() = image.spec();
  unit.set_grain(unit.spec().grain() == wire::PORTABLE ? wire::PORTABLE : wire::POD);
  unit.set_state(wire::EXITED);
  return unit;
}

}  // namespace

grpc::Status UserService::Restore(Context* context,
                                  grpc::ServerReaderWriter<wire::RestoreEvent, wire::RestoreInput>* stream) {
  if (auto no = authorize(*context); !no.ok()) return no;
  wire::RestoreInput input;
  if (!stream->Read(&input) || !input.has_what())
    return rpc::to_status(Error{Code::kUsage, 0, "the first message must say what to restore"});
  const wire::RestoreWhat what = input.what();
  RestoreWish wish{what.node(), what.branch(), what.name()};
  wire::PutReply image;
  wire::Unit of;
  uint32_t number = what.number();
  if (what.from_file()) {
    auto where = parts_.ledger.read([&](const State& s, const Now& now) -> Outcome<std::string> {
      if (what.node().empty()) return place(s, now, foreign_nodes(s), {});  // what is in the file isn't known yet
      TRY(const wire::NodeInfo info, find_node(s, what.node()));
      if (is_foreign(info.name())) return std::unexpected(no_document(info.name()));  // nobody has looked at it yet
      return info.name();
    });
    if (!where) return rpc::to_status(where.error());
    auto node = parts_.peers.live_node(*where);
    if (!node) return rpc::to_status(node.error());
    auto put = put_file(stream, *node, *where);
    if (!put) return rpc::to_status(put.error());
    image = *put;
    wish.node = *where;
    number = image.number();
    of = parts_.ledger.read([&](const State& s, const Now&) { return unit_of(s, image); });
    // An image of another grid is a new unit here, whatever its id was there.
    if (of.epoch() == 0) wish.branch = true;
  } else {
    auto found = parts_.ledger.read([&](const State& s, const Now&) -> Outcome<wire::Checkpoint> {
      TRY(of, find_unit(s, what.unit()));
      if (number == 0) number = next_number(s, of.id()) - 1;
      const auto it = s.checkpoints.find({of.id(), number});
      if (it == s.checkpoints.end())
        return failure(
            Code::kNotFound,
            number == 0
                ? fmt::format("{} has no checkpoint; make one with: godwit checkpoint {}", what.unit(), what.unit())
                : fmt::format("{} has no checkpoint {}; see: godwit history {}", what.unit(), number, what.unit()));
      return it->second;
    });
    if (!found) return rpc::to_status(found.error());
    image.set_image(found->image());
    if (addresses(found->nodes()).empty())
      return rpc::to_status(
          Error{Code::kPeer, 0, fmt::format("no node that holds {}@{} answers", what.unit(), number)});
  }
  auto plan = parts_.ledger.decide(
      [&](const State& s, const Now& now) { return plan_restore(s, now, of, number, wish, pki::random_hex(6)); });
  if (!plan) return rpc::to_status(plan.error());
  wire::RestoreEvent event;
  auto unit = restore(*plan, image.image(), number, [&](const wire::Progress& p) {
    *event.mutable_progress() = p;
    (void)stream->Write(event);
  });
  if (!unit) return rpc::to_status(unit.error());
  *event.mutable_done() = *unit;
  (void)stream->Write(event);
  return grpc::Status::OK;
}

}  // namespace godwit::controller
