// Checkpoint and history. Images lie on nodes; the controller knows which node holds which.
//
// A checkpoint that only the unit's own node holds dies with that node, so each is copied to one other node before it is
// reported as done. The unit runs on meanwhile.
#include <fmt/format.h>

#include <optional>

#include "base/base.h"
#include "controller/delegated.h"
#include "controller/sched_view.h"
#include "controller/services.h"

namespace godwit::controller {
namespace {

grpc::Status fetch(const std::string& name, const Peers::Stub& node, const std::string& image,
                   const std::function<bool(wire::Data&)>& take) {
  wire::ImageRequest request;
  request.set_image(image);
  grpc::ClientContext call;
  const auto stream = node->Fetch(&call, request);
  wire::Data data;
  while (stream->Read(&data))
    if (!take(data)) call.TryCancel();
  const auto status = stream->Finish();
  return status.ok() ? status : rpc::to_status(failure_at(name, status));
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
  ask.set_number(parts_.ledger.read([&](const State& s, const Now&) { return next_checkpoint(s, unit->id()); }));
  ask.set_tcp(request->tcp());
  ask.set_seal_to(request->seal_to());
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
    if (const auto status = stream->Finish(); !status.ok()) return rpc::to_status(failure_at(unit->node(), status));
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
  return fetch(unit->node(), *node, done->image(), [&](wire::Data& data) {
    *event.mutable_data() = std::move(*data.mutable_data());
    return writer->Write(event);
  });
}

grpc::Status UserService::FetchCheckpoint(Context* context, const wire::FetchCheckpointRequest* request,
                                          Writer<wire::Data>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = find(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  auto checkpoint = parts_.ledger.read([&](const State& s, const Now&) -> Outcome<wire::Checkpoint> {
    return find_checkpoint(s, unit->id(), request->unit(), request->number());
  });
  if (!checkpoint) return rpc::to_status(checkpoint.error());
  for (const auto& name : checkpoint->nodes()) {
    if (auto node = parts_.peers.live_node(name))
      return fetch(name, *node, checkpoint->image(), [&](const wire::Data& data) { return writer->Write(data); });
  }
  return rpc::to_status(nobody_holds(request->unit(), checkpoint->number()));
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

}  // namespace godwit::controller
