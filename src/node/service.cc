#include "node/service.h"  // first, so that the header proves self-contained

#include "base/base.h"
#include "base/pki.h"

namespace godwit::node {
namespace {

using std::chrono::milliseconds;
namespace k = wire::keeper;

constexpr milliseconds kFreeze{15};  // what a small unit's takes
constexpr milliseconds kLook{200};  // how often a stream looks whether its caller has gone
constexpr milliseconds kCheckLimit{60'000};
constexpr size_t kMaxForeignDemands = 1u << 20;

grpc::Status status_of(const Outcome<void>& outcome) {
  return outcome ? grpc::Status::OK : rpc::to_status(outcome.error());
}

}  // namespace

grpc::Status NodeService::authorize(const Context& context, Asker asker) const {
  if (!daemon_.identity().secure()) return grpc::Status::OK;
  const std::string who = rpc::caller(context, daemon_.identity());
  if (who == daemon_.place().controller()) return grpc::Status::OK;
  // A node of another site may ask whether it would be welcome; nothing that lies here goes to it.
  const auto [site, name] = pki::split_name(who);
  const bool node = !name.empty() && !pki::reserved_name(name);
  if (node && (asker == Asker::kAnyNode || (asker == Asker::kOwnNode && site.empty()))) return grpc::Status::OK;
  return rpc::to_status(Error{Code::kRefused, 0, "\"" + who + "\" may not ask this of a node"});
}

Outcome<k::Packet> NodeService::ask(const std::string& unit, k::Packet packet, milliseconds limit) const {
  TRY(const auto found, daemon_.unit(unit));
  TRY(const auto keeper, found->need_keeper());
  return keeper->request(std::move(packet), {}, limit);
}

grpc::Status NodeService::Launch(Context* context, const wire::LaunchRequest* request, wire::UnitLoad* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto load = daemon_.launch(*request);
  if (!load) return rpc::to_status(load.error());
  *reply = *load;
  return grpc::Status::OK;
}

grpc::Status NodeService::Prepare(Context* context, const wire::PrepareRequest* request, wire::PrepareReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto prepared = daemon_.prepare(*request);
  if (!prepared) return rpc::to_status(prepared.error());
  *reply = *prepared;
  return grpc::Status::OK;
}

namespace {

/// Hands progress on until the move out is over; why it can't be told, otherwise.
std::expected<k::MoveEnded, grpc::Status> follow_move(const Unit& unit, const std::string& migration,
                                                      const grpc::ServerContext& context,
                                                      grpc::ServerWriter<wire::MoveEvent>& writer) {
  const auto is_over = [&](const Unit::News& n) { return n.moves.contains(migration) || n.gone || n.keeper_lost; };
  for (uint64_t seen = unit.news().progress_count;;) {
    const bool heard = unit.wait(kLook, [&](const Unit::News& n) { return n.progress_count != seen || is_over(n); });
    // After the last round's comes the freeze: what wakes up a controller and a user's command takes time from it.
    if (heard) (void)unit.wait(kFreeze, is_over);
    if (context.IsCancelled()) return std::unexpected(grpc::Status(grpc::StatusCode::CANCELLED, "the caller left"));
    const auto news = unit.news();
    if (const auto it = news.moves.find(migration); it != news.moves.end()) return it->second;
    // Not final: whether the unit has ended with it is being settled, and whoever asks again is told.
    if (news.gone || news.keeper_lost)
      return std::unexpected(rpc::to_status(Error{Code::kGone, 0, "the unit's keeper died during the move"}));
    if (news.progress_count == seen) continue;
    seen = news.progress_count;
    wire::MoveEvent event;
    *event.mutable_progress() = news.progress;
    (void)writer.Write(event);
  }
}

}  // namespace

grpc::Status NodeService::Migrate(Context* context, const wire::MigrateRequest* request,
                                  Writer<wire::MoveEvent>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  const std::string& id = request->migration();
  auto ended = daemon_.finished_move(id);
  if (!ended) {
    if (const auto unit = daemon_.migrate(*request)) {
      auto followed = follow_move(**unit, id, *context, *writer);
      if (!followed) return followed.error();
      ended = std::move(*followed);
    } else {
      ended = daemon_.finished_move(id);  // it may have ended, and the unit be gone, between the two looks
      if (!ended) return rpc::to_status(unit.error());
    }
  }
  if (!ended->committed()) return rpc::to_status(failure_of(ended->failure()));
  wire::MoveEvent event;
  *event.mutable_report() = ended->report();
  (void)writer->Write(event);
  return grpc::Status::OK;
}

grpc::Status NodeService::Release(Context* context, const wire::ReleaseRequest* request, wire::Empty*) {
  if (auto no = authorize(*context); !no.ok()) return no;
  return status_of(daemon_.release(*request));
}

grpc::Status NodeService::Discard(Context* context, const wire::Disown* request, wire::Empty*) {
  if (auto no = authorize(*context); !no.ok()) return no;
  return status_of(daemon_.discard(*request));
}

grpc::Status NodeService::Signal(Context* context, const wire::SignalRequest* request, wire::Empty*) {
  if (auto no = authorize(*context); !no.ok()) return no;
  k::Packet packet;
  packet.mutable_signal()->set_signal(request->signal());
  auto done = ask(request->unit(), std::move(packet));
  return done ? grpc::Status::OK : rpc::to_status(done.error());
}

grpc::Status NodeService::Kill(Context* context, const wire::UnitRequest* request, wire::Empty*) {
  if (auto no = authorize(*context); !no.ok()) return no;
  k::Packet packet;
  packet.mutable_kill();
  auto done = ask(request->unit(), std::move(packet));
  return done ? grpc::Status::OK : rpc::to_status(done.error());
}

grpc::Status NodeService::Checkpoint(Context* context, const wire::CheckpointNodeRequest* request,
                                     Writer<wire::CheckpointNodeEvent>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = daemon_.unit(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  const uint32_t number = request->number();
  uint64_t seen = (*unit)->news().progress_count;
  k::Packet packet;
  packet.mutable_checkpoint()->set_number(number);
  packet.mutable_checkpoint()->set_tcp(request->tcp());
  packet.mutable_checkpoint()->set_seal_to(request->seal_to());
  if (auto accepted = ask(request->unit(), std::move(packet)); !accepted) return rpc::to_status(accepted.error());
  for (;;) {
    (void)(*unit)->wait(kLook, [&](const Unit::News& n) {
      return n.progress_count != seen || n.checkpoints.contains(number) || n.gone || n.keeper_lost;
    });
    const auto news = (*unit)->news();
    wire::CheckpointNodeEvent event;
    if (const auto it = news.checkpoints.find(number); it != news.checkpoints.end()) {
      if (it->second.has_failure()) return rpc::to_status(failure_of(it->second.failure()));
      *event.mutable_done() = it->second.checkpoint();
      (void)writer->Write(event);
      return grpc::Status::OK;
    }
    if (news.gone || news.keeper_lost) {
      return rpc::to_status(Error{Code::kFailed, 0, "the unit's keeper died during the checkpoint"});
    }
    if (news.progress_count != seen) {
      seen = news.progress_count;
      *event.mutable_progress() = news.progress;
      (void)writer->Write(event);
    }
  }
}

grpc::Status NodeService::Restore(Context* context, const wire::RestoreNodeRequest* request,
                                  Writer<wire::RestoreNodeEvent>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = daemon_.restore(*request);
  if (!unit) return rpc::to_status(unit.error());
  for (uint64_t seen = 0;;) {
    (void)(*unit)->wait(kLook, [&](const Unit::News& n) {
      return n.progress_count != seen || n.launched || n.ended || n.gone || n.keeper_lost;
    });
    const auto news = (*unit)->news();
    if (news.launched || news.ended || news.gone || news.keeper_lost) break;
    if (news.progress_count == seen) continue;
    seen = news.progress_count;
    wire::RestoreNodeEvent event;
    *event.mutable_progress() = news.progress;
    (void)writer->Write(event);
  }
  auto load = daemon_.await_start(*unit, kLook);
  if (!load) return rpc::to_status(load.error());
  wire::RestoreNodeEvent event;
  *event.mutable_done() = *load;
  (void)writer->Write(event);
  return grpc::Status::OK;
}

grpc::Status NodeService::Check(Context* context, const wire::NodeCheckRequest* request, wire::CheckReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  k::Packet packet;
  packet.mutable_check()->set_tcp(request->tcp());
  packet.mutable_check()->set_grain(request->grain());
  auto checked = ask(request->unit(), std::move(packet), kCheckLimit);
  if (!checked) return rpc::to_status(checked.error());
  const auto& found = checked->checked();
  *reply->mutable_blockers() = found.blockers();
  *reply->mutable_demands() = found.demands();
  reply->set_memory_bytes(found.memory_bytes());
  if (request->destination().name().empty()) return grpc::Status::OK;

  const auto& to = request->destination();
  const auto stub =
      wire::Node::NewStub(rpc::channel(to.control(), daemon_.identity(), daemon_.place().here(to.name())));
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + kCheckLimit);
  wire::AdmitRequest ask_there;
  ask_there.set_grain(request->grain());
  ask_there.set_demands(found.demands_raw());
  ask_there.set_document(request->document());
  *ask_there.mutable_caveats() = request->caveats();
  wire::AdmitReply there;
  if (const auto status = stub->Admit(&call, ask_there, &there); !status.ok()) {
    auto why = rpc::failure_of(status);
    why.error = why.error.in("node " + to.name());
    return rpc::to_status(why);
  }
  reply->mutable_blockers()->MergeFrom(there.blockers());
  return grpc::Status::OK;
}

grpc::Status NodeService::Admit(Context* context, const wire::AdmitRequest* request, wire::AdmitReply* reply) {
  if (auto no = authorize(*context, Asker::kAnyNode); !no.ok()) return no;
  const std::string site = pki::split_name(rpc::caller(*context, daemon_.identity())).site;
  const auto ticket = daemon_.welcome(site);
  if (!ticket) return rpc::to_status(ticket.error());
  if (!site.empty() && request->ByteSizeLong() > kMaxForeignDemands)
    return rpc::to_status(
        Error{Code::kRefused, 0, "a question of " + std::to_string(request->ByteSizeLong()) + " bytes"});
  auto admitted = daemon_.admit(*request);
  if (!admitted) return rpc::to_status(admitted.error());
  *reply = *admitted;
  return grpc::Status::OK;
}

grpc::Status NodeService::Status(Context* context, const wire::Empty*, wire::StatusReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  *reply->mutable_node() = daemon_.info();
  for (auto& load : daemon_.loads()) *reply->add_units() = std::move(load);
  return grpc::Status::OK;
}

grpc::Status NodeService::Arm(Context* context, const wire::ArmRequest* request, wire::Empty*) {
  if (auto no = authorize(*context); !no.ok()) return no;
  return status_of(daemon_.arm(request->spec()));
}

}  // namespace godwit::node
