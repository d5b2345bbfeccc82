// What the controller asks of this machine for a unit: launch, restore, both sides of a move, discard.
//
// Each of these may be asked again after an answer was lost, by a controller or to a daemon that was started anew. So each
// first looks whether it has been done.
#include <algorithm>

#include "base/base.h"
#include "base/pki.h"
#include "node/daemon.h"
#include "node/keeper_process.h"
#include "node/load.h"
#include "node/papers.h"

namespace godwit::node {
namespace {

using std::chrono::milliseconds;
namespace k = wire::keeper;

constexpr milliseconds kStartLimit{28'000};
constexpr milliseconds kReleaseLimit{10'000};

// An ordinary user's node is in a user namespace that has one user, who is 0 in it: everything runs as him, whoever he
// said that he is.
wire::UnitSpec spec_here(wire::UnitSpec spec) {
  if (is_privileged()) return spec;
  spec.clear_uid();
  spec.clear_gid();
  spec.clear_groups();
  return spec;
}

bool valid_migration(const std::string& id) {
  return id.size() == 16 &&
         std::ranges::all_of(id, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

Outcome<wire::UnitLoad> Daemon::await_start(const UnitPtr& unit, milliseconds limit) {
  const bool known = unit->wait(limit, [](const Unit::News& n) {
    return n.launched.has_value() || n.ended.has_value() || n.keeper_lost || n.gone;
  });
  const auto news = unit->news();
  if (news.ended && news.ended->has_failure()) {
    const auto why = failure_of(news.ended->failure());
    const auto held = gate(unit->record().unit);
    const std::lock_guard lock(*held);
    remove(unit);
    return std::unexpected(why);
  }
  if (!known) return failed(Code::kPeer, "the unit's keeper isn't ready in time");
  if (!news.launched && !news.ended) return failed(Code::kFailed, "the unit's keeper died while it started the unit");
  if (const auto keeper = unit->keeper()) (void)keeper->refresh();
  auto load = unit->load();
  return load ? *load : wire::UnitLoad{};
}

Outcome<wire::UnitLoad> Daemon::launch(const wire::LaunchRequest& request) {
  TRY_DO(check_papers(request.spec(), options_.state_dir, options_.root, place_));
  UnitPtr unit;
  {
    const auto held = gate(request.unit());
    const std::lock_guard lock(*held);
    if (const auto old = known(request.unit()); old && old->record().epoch == request.epoch()) {
      unit = old;  // asked again
    } else {
      UnitRecord record;
      record.unit = request.unit();
      record.progress = request.spec().progress();
      record.epoch = request.epoch();
      record.token = request.token();
      TRY(unit, new_keeper(record));
      TRY(const auto keeper, unit->need_keeper());
      Packet packet;
      auto* launch = packet.mutable_launch();
      launch->set_unit(request.unit());
      launch->set_epoch(request.epoch());
      *launch->mutable_spec() = spec_here(request.spec());
      launch->set_node(options_.name);
      if (auto accepted = keeper->request(std::move(packet)); !accepted) {
        remove(unit);
        return std::unexpected(accepted.error());
      }
    }
  }
  return await_start(unit, kStartLimit);
}

Outcome<Daemon::UnitPtr> Daemon::restore(const wire::RestoreNodeRequest& request) {
  TRY_DO(check_place({request.spec().delegation(), {request.caveats().begin(), request.caveats().end()}},
                     options_.state_dir, place_));
  const auto held = gate(request.unit());
  const std::lock_guard lock(*held);
  if (const auto old = known(request.unit()); old && old->record().epoch == request.epoch()) return old;
  if (auto here = images_.pull(request.image(), request.holders(), [](uint64_t) {}); !here) return failed(here.error());
  UnitRecord record;
  record.unit = request.unit();
  record.progress = request.spec().progress();
  record.epoch = request.epoch();
  record.token = request.token();
  TRY(auto unit, new_keeper(record));
  TRY(const auto keeper, unit->need_keeper());
  Packet packet;
  auto* restore = packet.mutable_restore();
  restore->set_unit(request.unit());
  restore->set_epoch(request.epoch());
  *restore->mutable_spec() = spec_here(request.spec());
  restore->set_node(options_.name);
  restore->set_image(request.image());
  *restore->mutable_caveats() = request.caveats();
  if (auto accepted = keeper->request(std::move(packet)); !accepted) {
    remove(unit);
    return std::unexpected(accepted.error());
  }
  return unit;
}

Outcome<SiteLimits::Ticket> Daemon::welcome(const std::string& site) {
  auto ticket = limits_.take(site);
  if (ticket) return *std::move(ticket);
  rpc::Failure out{Error{Code::kRefused, 0, "site " + site + " asks for too much"}, {}};
  out.blockers.push_back({"site-limit", "node " + place_.full(),
                          "more at once, or in a time, than it takes from one site", "try again in some seconds"});
  return std::unexpected(std::move(out));
}

Outcome<wire::PrepareReply> Daemon::prepare(const wire::PrepareRequest& request) {
  const std::string source = place_.here(request.source());
  TRY(const auto ticket, welcome(pki::split_name(source).site));
  // A keeper looks at it again; what comes from elsewhere gets one only after this.
  TRY_DO(check_passage(request.passage(), identity_.sites, place_, source));
  if (!valid_migration(request.migration())) return failed(Code::kUsage, "not a migration's id");
  if (auto passed = fault::pass("destination.prepare"); !passed) return failed(passed.error());
  const auto held = gate(request.unit());
  const std::lock_guard lock(*held);
  wire::PrepareReply reply;
  reply.set_endpoint(info().data());
  if (const auto old = known(request.unit()); old && old->record().migration == request.migration()) {
    const auto keeper = old->keeper();
    if (keeper && keeper->state().migration() == request.migration()) {
      reply.set_token(old->record().receive_token);
      return reply;
    }
  }
  UnitRecord record;
  record.unit = request.unit();
  record.progress = request.spec().progress();
  record.migration = request.migration();
  record.source_epoch = request.epoch();
  record.receive_token = pki::random_hex(16);
  TRY(const auto unit, new_keeper(record));
  TRY(const auto keeper, unit->need_keeper());
  Packet packet;
  auto* receive = packet.mutable_receive();
  receive->set_migration(request.migration());
  receive->set_unit(request.unit());
  receive->set_epoch(request.epoch());
  *receive->mutable_spec() = spec_here(request.spec());
  receive->set_node(options_.name);
  receive->set_source(source);
  receive->set_token(record.receive_token);
  *receive->mutable_options() = request.options();
  receive->set_passage(request.passage());
  if (auto accepted = keeper->request(std::move(packet)); !accepted) {
    remove(unit);
    return std::unexpected(accepted.error());
  }
  (void)keeper->refresh();
  if (auto passed = fault::pass("destination.keeper"); !passed) {
    Packet cancel;
    cancel.mutable_cancel()->set_migration(request.migration());
    (void)keeper->request(std::move(cancel));
    return failed(passed.error());
  }
  reply.set_token(record.receive_token);
  return reply;
}

Outcome<Daemon::UnitPtr> Daemon::migrate(const wire::MigrateRequest& request) {
  if (!valid_migration(request.migration())) return failed(Code::kUsage, "not a migration's id");
  if (auto passed = fault::pass("source.prepare"); !passed) return failed(passed.error());
  const auto held = gate(request.unit());
  const std::lock_guard lock(*held);
  TRY(const auto unit, this->unit(request.unit()));
  if (unit->news().moves.contains(request.migration())) return unit;
  TRY(const auto keeper, unit->need_keeper());
  TRY(const auto state, keeper->refresh());
  if (state.migration() == request.migration() && state.phase() == k::SENDING) return unit;
  if (request.endpoint().empty()) return failed(Code::kNotFound, "that move isn't in progress here");
  if (state.epoch() != request.epoch()) {
    return failed(Code::kRefused, "unit " + request.unit() + " is in epoch " + std::to_string(state.epoch()) +
                                      " here, not " + std::to_string(request.epoch()));
  }
  Packet packet;
  auto* out = packet.mutable_migrate();
  out->set_migration(request.migration());
  out->set_epoch(request.epoch());
  out->set_destination(place_.here(request.destination()));
  out->set_endpoint(request.endpoint());
  out->set_token(request.token());
  *out->mutable_options() = request.options();
  out->set_passage(request.passage());
  TRY_DO(keeper->request(std::move(packet)));
  if (auto passed = fault::pass("source.keeper"); !passed) {
    Packet cancel;
    cancel.mutable_cancel()->set_migration(request.migration());
    if (auto cancelled = keeper->request(std::move(cancel)); !cancelled) return unit;  // too late: it goes on
  }
  return unit;
}

std::optional<k::MoveEnded> Daemon::finished_move(const std::string& migration) const {
  if (!valid_migration(migration)) return std::nullopt;
  const auto text = io::read_file(moves_dir() + "/" + migration, 1u << 20);
  k::MoveEnded ended;
  if (!text || !ended.ParseFromString(*text)) return std::nullopt;
  return ended;
}

Outcome<void> Daemon::release(const wire::ReleaseRequest& request) {
  UnitPtr unit;
  {
    const auto held = gate(request.unit());
    const std::lock_guard lock(*held);
    unit = known(request.unit());
    if (!unit || unit->record().migration != request.migration()) return {};
    const auto keeper = unit->keeper();
    if (!keeper) {
      if (unit->record().epoch == 0) remove(unit);
      return {};
    }
    Packet cancel;
    cancel.mutable_cancel()->set_migration(request.migration());
    TRY_DO(keeper->request(std::move(cancel)));
  }
  // Its end comes as an event, which removes the unit.
  (void)unit->wait(kReleaseLimit, [](const Unit::News& n) { return n.gone || n.keeper_lost; });
  return {};
}

Outcome<void> Daemon::discard(const wire::Disown& request) {
  const auto held = gate(request.unit());
  const std::lock_guard lock(*held);
  const auto unit = known(request.unit());
  if (!unit) return {};
  const auto record = unit->record();
  if (record.epoch > request.epoch()) return {};
  if (const auto keeper = unit->keeper()) {
    TRY(const auto state, keeper->refresh());
    // A move in either direction ends by its own protocol: what is asked here may be older than its commit.
    if (state.phase() == k::RECEIVING || state.phase() == k::SENDING || state.phase() == k::ARRIVING) {
      return failed(Code::kRefused, "a move of unit " + request.unit() + " is in progress");
    }
    Packet packet;
    packet.mutable_discard()->set_epoch(request.epoch());
    TRY_DO(keeper->request(std::move(packet)));
  } else if (record.epoch == 0) {
    return failed(Code::kRefused, "a move of unit " + request.unit() + " is being settled");
  }
  remove(unit);
  return {};
}

Outcome<wire::AdmitReply> Daemon::admit(const wire::AdmitRequest& request) {
  UnitRecord record;
  record.unit = "admit-" + pki::random_hex(8);
  TRY(const auto unit, new_keeper(record));
  Packet packet;
  packet.mutable_admit()->set_demands_raw(request.demands());
  packet.mutable_admit()->set_grain(request.grain());
  auto answer = [&]() -> Outcome<Packet> {
    TRY(const auto keeper, unit->need_keeper());
    return keeper->request(std::move(packet), {}, std::chrono::seconds(60));
  }();
  remove(unit);
  if (!answer) return std::unexpected(answer.error());
  wire::AdmitReply reply;
  for (const auto& b : answer->admitted().blockers()) *reply.add_blockers() = b;
  if (request.document().empty()) return reply;
  const Papers papers{request.document(), {request.caveats().begin(), request.caveats().end()}};
  for (const auto& b : paper_blockers(papers, options_.state_dir, place_)) {
    auto& out = *reply.add_blockers();
    out.set_code(b.code);
    out.set_object(b.object);
    out.set_reason(b.reason);
    out.set_lift(b.lift);
  }
  return reply;
}

}  // namespace godwit::node
