// Restore: from a checkpoint that nodes hold, or from an image file that the user sends.
//
// An encrypted checkpoint is a file to the grid: the user's command fetches it (FetchCheckpoint), opens it and sends it. Then it lies
// on one node in the clear, until the unit is built.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/base.h"
#include "controller/delegated.h"
#include "controller/sched_view.h"
#include "controller/services.h"
#include "controller/token.h"

namespace godwit::controller {
namespace {
constexpr std::chrono::milliseconds kDropLimit{10'000};
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
    if (const auto row = s.delegations.find(unit.id()); row != s.delegations.end())
      for (auto& c : caveats_of(row->second.log.authority)) request.add_caveats(std::move(c));
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
  if (!status.ok()) return std::unexpected(failure_at(unit.node(), status));
  if (!done) return failure(Code::kPeer, fmt::format("node {} ended the restore without a word", unit.node()));
  log::info("unit restored unit={} image={} node={} epoch={}", unit.id(), image, unit.node(), unit.epoch());
  return find(unit.id());
}

namespace {

/// Hands the rest of the client's stream, an image file, to a node, which verifies and keeps it.
Outcome<wire::PutReply> put_file(UserService::RestoreStream* stream, const Peers::Stub& node, const std::string& name) {
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
  if (!status.ok()) return std::unexpected(failure_at(name, status));
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

/// What was encrypted until its user brought it here isn't kept in the clear, unless the grid keeps it so by itself.
void UserService::drop_plain(const Brought& brought) const {
  const wire::PutReply& image = brought.image;
  const bool kept = parts_.ledger.read([&](const State& s, const Now&) {
    const auto it = s.checkpoints.find({image.unit(), image.number()});
    return it != s.checkpoints.end() && it->second.sealed_to().empty() && it->second.image() == image.image() &&
           std::ranges::find(it->second.nodes(), brought.where) != it->second.nodes().end();
  });
  if (kept) return;
  wire::ImageRequest request;
  request.set_image(image.image());
  request.set_plain(true);
  grpc::ClientContext call;
  limit(call, kDropLimit);
  wire::Empty reply;
  if (const auto status = brought.node->DropImage(&call, request, &reply); !status.ok())
    log::warn("node {} still has {} unencrypted: {}", brought.where, image.image(), status.error_message());
}

/// The image of a file: what follows of the stream, on a node.
Outcome<UserService::Brought> UserService::bring(const wire::RestoreWhat& what, RestoreStream* stream) {
  TRY(const std::string where, parts_.ledger.read([&](const State& s, const Now& now) -> Outcome<std::string> {
    if (what.node().empty()) return place(s, now, foreign_nodes(s), {});  // what is in the file isn't known yet
    TRY(const wire::NodeInfo info, find_node(s, what.node()));
    if (is_foreign(info.name())) return std::unexpected(no_document(info.name()));  // nobody has looked at it yet
    return info.name();
  }));
  TRY(const auto node, parts_.peers.live_node(where));
  TRY(auto image, put_file(stream, node, where));
  return Brought{where, node, std::move(image)};
}

/// What is to be restored, as it lies on nodes.
Outcome<wire::Checkpoint> UserService::kept(const wire::RestoreWhat& what, wire::Unit& of) const {
  TRY(auto found, parts_.ledger.read([&](const State& s, const Now&) -> Outcome<wire::Checkpoint> {
    TRY(of, find_unit(s, what.unit()));
    return find_checkpoint(s, of.id(), what.unit(), what.number());
  }));
  if (!found.sealed_to().empty())
    return failure(Code::kRefused, fmt::format("{}@{} is encrypted; only this command of its key's owner can open it: "
                                               "godwit restore {}@{} --key FILE",
                                               what.unit(), found.number(), what.unit(), found.number()));
  if (addresses(found.nodes()).empty()) return std::unexpected(nobody_holds(what.unit(), found.number()));
  return found;
}

grpc::Status UserService::Restore(Context* context, RestoreStream* stream) {
  if (auto no = authorize(*context); !no.ok()) return no;
  wire::RestoreInput input;
  if (!stream->Read(&input) || !input.has_what())
    return rpc::to_status(Error{Code::kUsage, 0, "the first message must say what to restore"});
  const wire::RestoreWhat what = input.what();
  RestoreWish wish{what.node(), what.branch(), what.name()};
  std::string image;
  wire::Unit of;
  uint32_t number = what.number();
  std::optional<Brought> brought;
  if (what.from_file()) {
    auto here = bring(what, stream);
    if (!here) return rpc::to_status(here.error());
    brought = *std::move(here);
    image = brought->image.image();
    number = brought->image.number();
    wish.node = brought->where;
    of = parts_.ledger.read([&](const State& s, const Now&) { return unit_of(s, brought->image); });
    // An image of another grid is a new unit here, whatever its id was there.
    if (of.epoch() == 0) wish.branch = true;
  } else {
    auto found = kept(what, of);
    if (!found) return rpc::to_status(found.error());
    image = found->image();
    number = found->number();
  }
  auto unit = restore_as(of, number, wish, image, [&](const wire::Progress& p) {
    wire::RestoreEvent event;
    *event.mutable_progress() = p;
    (void)stream->Write(event);
  });
  if (brought && what.sealed()) drop_plain(*brought);
  if (!unit) return rpc::to_status(unit.error());
  wire::RestoreEvent event;
  *event.mutable_done() = *unit;
  (void)stream->Write(event);
  return grpc::Status::OK;
}

Outcome<wire::Unit> UserService::restore_as(const wire::Unit& of, uint32_t number, const RestoreWish& wish,
                                            const std::string& image,
                                            const std::function<void(const wire::Progress&)>& progress) {
  TRY(const auto plan, parts_.ledger.decide([&](const State& s, const Now& now) {
    return plan_restore(s, now, of, number, wish, pki::random_hex(6));
  }));
  return restore(plan, image, number, progress);
}

}  // namespace godwit::controller
