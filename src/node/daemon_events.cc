// What the keepers tell, and what is done about it before it is acknowledged.
#include <signal.h>

#include <algorithm>

#include "base/base.h"
#include "node/daemon.h"

namespace godwit::node {
namespace {

namespace k = wire::keeper;

constexpr size_t kMovesKept = 256;

int64_t wall_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void Daemon::on_durable(const UnitPtr& unit, const Packet* packet) {
  if (cluster_.stopping()) return;
  if (packet == nullptr) {
    workers_.run([this, unit] { keeper_lost(unit); });
  } else {
    workers_.run([this, unit, copy = *packet] { handle(unit, copy); });
  }
}

void Daemon::handle(const UnitPtr& unit, const Packet& packet) {
  const auto acknowledge = [&] {
    if (const auto keeper = unit->need_keeper()) (*keeper)->ack(packet.seq());
  };
  switch (packet.body_case()) {
    case Packet::kCommitSoon: return unit->keep(cluster_.open_commit());
    case Packet::kCommitQuestion: return answer_commit(unit, packet.commit_question());
    case Packet::kResolveQuestion: return answer_resolve(unit, packet.resolve_question());
    case Packet::kMoveEnded: return move_ended(unit, packet.move_ended(), packet.seq());
    case Packet::kEnded: unit_ended(unit, packet.ended()); return acknowledge();
    case Packet::kLaunched: unit->tell([&](Unit::News& n) { n.launched = packet.launched(); }); return acknowledge();
    case Packet::kCheckpointed:
      unit->tell([&](Unit::News& n) { n.checkpoints[packet.checkpointed().number()] = packet.checkpointed(); });
      return acknowledge();
    default:
      log::warn("unit {}: an event that this daemon doesn't know: {}", unit->record().unit,
                static_cast<int>(packet.body_case()));
  }
}

void Daemon::answer_commit(const UnitPtr& unit, const k::CommitQuestion& question) {
  wire::CommitRequest request;
  request.set_migration(question.migration());
  request.set_unit(question.unit());
  request.set_epoch(question.epoch());
  request.set_node(place_.there());
  request.set_entry(question.entry());
  const auto open = unit->take_commit();  // ended when the keeper has its answer
  const auto wanted = [&] { return !unit->gone() && !unit->news().keeper_lost; };
  const auto reply = cluster_.commit(request, wanted, open.get());
  if (!reply) return;
  if (const auto keeper = unit->need_keeper()) {
    Packet packet;
    auto* answer = packet.mutable_commit();
    answer->set_migration(question.migration());
    answer->set_granted(reply->granted());
    answer->set_epoch(reply->epoch());
    answer->set_token(reply->token());
    answer->set_reason(reply->reason());
    if (auto taken = (*keeper)->request(std::move(packet)); !taken) {
      log::warn("the keeper of {} doesn't take the commit's answer: {}", question.unit(),
                taken.error().error.message());
    }
  }
  // Nothing can fail here any more: the commit stands.
  if (auto passed = fault::pass("destination.answered"); !passed) log::warn("{}", passed.error().text);
  // After the answer: the unit stands still until the keeper has it, and the record can be had again by asking.
  log::info("commit unit={} migration={} granted={} epoch={}", question.unit(), question.migration(), reply->granted(),
            reply->epoch());
  if (reply->granted()) unit->set_committed(reply->epoch(), reply->token());
}

void Daemon::answer_resolve(const UnitPtr& unit, const k::ResolveQuestion& question) {
  const auto reply = cluster_.resolve(question.migration(), question.reason(),
                                      [&] { return !unit->gone() && !unit->news().keeper_lost; });
  if (!reply) return;
  log::info("resolve unit={} migration={} state={}", unit->record().unit, question.migration(),
            wire::MigrationState_Name(reply->state()));
  const auto keeper = unit->need_keeper();
  if (!keeper) return;
  Packet packet;
  auto* answer = packet.mutable_resolve();
  answer->set_migration(question.migration());
  answer->set_committed(reply->state() == wire::COMMITTED);
  answer->set_epoch(reply->epoch());
  answer->set_token(reply->token());
  (void)(*keeper)->request(std::move(packet));
}

bool Daemon::report_end(const UnitPtr& unit) {
  const UnitRecord record = unit->record();
  wire::UnitExitedRequest request;
  request.set_node(place_.there());
  request.set_unit(record.unit);
  request.set_epoch(record.epoch);
  request.set_time_ms(record.ended_ms);
  request.mutable_exit()->set_status(record.status);
  request.mutable_exit()->set_signal(record.signal);
  request.mutable_exit()->set_reason(record.reason);
  return cluster_.unit_exited(request, [&] { return !unit->gone(); });
}

void Daemon::unit_ended(const UnitPtr& unit, const k::Ended& ended) {
  const bool never_started = ended.has_failure();
  if (never_started) {
    // Who asked for the start is told why, and removes it. When nobody waits any more (this daemon was started anew) the
    // controller hears of an end.
    log::warn("unit {} did not start: {}", unit->record().unit, ended.failure().text());
  }
  unit->change([&](UnitRecord& r) {
    r.ended = true;
    r.status = never_started ? 127 : ended.exit().status();
    r.signal = ended.exit().signal();
    r.reason = ended.exit().reason();
    r.ended_ms = ended.time_ms() != 0 ? ended.time_ms() : wall_ms();
  });
  unit->tell([&](Unit::News& n) { n.ended = ended; });
  if (!report_end(unit)) return;
  log::info("unit ended unit={} status={} signal={}", unit->record().unit, unit->record().status,
            unit->record().signal);
}

void Daemon::move_ended(const UnitPtr& unit, const k::MoveEnded& ended, uint64_t seq) {
  const UnitRecord record = unit->record();
  const bool destination = record.migration == ended.migration();
  log::info("move ended unit={} migration={} side={} committed={} {}", record.unit, ended.migration(),
            destination ? "destination" : "source", ended.committed(), ended.failure().text());
  if (!destination) {
    // On disk before it is acknowledged: the controller may ask after the unit's directory is gone.
    auto kept = sys::make_dirs(moves_dir(), 0700);
    if (kept) kept = io::replace_file(moves_dir() + "/" + ended.migration(), ended.SerializeAsString(), 0600);
    if (!kept) log::warn("{}", kept.error().message());
    forget_old_moves();
  }
  if (destination) (void)unit->take_commit();
  const bool leaves = destination != ended.committed();
  if (destination && ended.committed()) {
    if (record.epoch == 0) catch_up_with_commit(unit);
    unit->change([](UnitRecord& r) { r.migration.clear(); });
  }
  unit->tell([&](Unit::News& n) { n.moves[ended.migration()] = ended; });
  // Before the acknowledgement: with nothing left to do the keeper ends by itself, and that is no accident.
  if (leaves) unit->set_gone();
  if (const auto keeper = unit->need_keeper()) (*keeper)->ack(seq);
  if (!leaves) return;
  const auto held = gate(record.unit);
  const std::lock_guard lock(*held);
  if (known(record.unit) == unit) remove(unit);
}

// The last daemon died between the answer that the keeper got and its own record of it. Without the epoch nothing that is said
// of the unit from here on would count.
void Daemon::catch_up_with_commit(const UnitPtr& unit) {
  if (const auto keeper = unit->need_keeper()) {
    const auto state = (*keeper)->refresh();
    if (state && !state->commit_token().empty()) return unit->set_committed(state->epoch(), state->commit_token());
  }
  const auto reply = cluster_.resolve(unit->record().migration, "", [&] { return !unit->gone(); });
  if (reply && reply->state() == wire::COMMITTED) unit->set_committed(reply->epoch(), reply->token());
}

void Daemon::forget_old_moves() const {
  auto names = sys::list_dir(moves_dir());
  if (!names || names->size() <= kMovesKept) return;
  std::vector<std::pair<int64_t, std::string>> by_age;
  for (const auto& name : *names) {
    if (const auto st = sys::lstat(moves_dir() + "/" + name)) by_age.emplace_back(st->st_mtime, name);
  }
  std::ranges::sort(by_age);
  for (size_t i = 0; i + kMovesKept / 2 < by_age.size(); i++) (void)sys::unlink(moves_dir() + "/" + by_age[i].second);
}

// --------------------------------------------------------------------------------------------------- keepers that died

void Daemon::keeper_lost(const UnitPtr& unit) {
  if (unit->gone() || cluster_.stopping()) return;
  // A keeper ends by itself when its unit has ended and all was acknowledged. The unit stays known for as long as its
  // output is wanted: not the connection.
  if (unit->record().ended) return unit->drop_keeper();
  const auto held = gate(unit->record().unit);
  const std::lock_guard lock(*held);
  if (unit->gone() || known(unit->record().unit) != unit) return;
  log::error("the keeper of unit {} is dead", unit->record().unit);
  settle_dead(unit);
}

// Its unit died with it, if there was one. Whose unit it was may have to be asked.
void Daemon::settle_dead(const UnitPtr& unit) {
  const UnitRecord record = unit->record();
  if (record.epoch == 0 && !record.migration.empty()) {
    const auto reply = cluster_.resolve(record.migration, "the unit's keeper is dead", [&] { return !unit->gone(); });
    if (!reply) return;
    if (reply->state() != wire::COMMITTED) return remove(unit);
    unit->set_committed(reply->epoch(), reply->token());
  } else if (record.epoch == 0) {
    return remove(unit);  // it had not begun anything
  }
  unit->change([](UnitRecord& r) {
    r.ended = true;
    r.signal = SIGKILL;
    r.reason = "its keeper died";
    r.ended_ms = wall_ms();
  });
  unit->drop_keeper();
  k::Ended ended;
  ended.mutable_exit()->set_signal(SIGKILL);
  unit->tell([&](Unit::News& n) { n.ended = ended; });
  workers_.run([this, unit] { (void)report_end(unit); });
}

Result<void> Daemon::adopt_all() {
  TRY_DO(sys::make_dirs(units_dir(), 0700));
  TRY(const auto ids, sys::list_dir(units_dir()));
  for (const auto& id : ids) adopt(id);
  return {};
}

void Daemon::adopt(const std::string& id) {
  const std::string dir = unit_dir(id);
  auto record = load_record_of(dir);
  if (!record || record->unit != id) {
    log::warn("{}: no unit's directory, left alone", dir);
    return;
  }
  auto unit = std::make_shared<Unit>(*record, dir);
  {
    const std::lock_guard lock(units_mutex_);
    units_[id] = unit;
  }
  auto attached = unit->attach_keeper(unit, [this](const UnitPtr& u, const Packet* p) { on_durable(u, p); });
  if (attached) {
    const auto state = unit->keeper()->state();
    log::info("keeper found unit={} phase={}", id, k::Phase_Name(state.phase()));
    // The commit of a move in; the disk was full when it came, or the last daemon died.
    const bool ours = state.phase() != k::RECEIVING && !state.commit_token().empty() && state.epoch() > record->epoch;
    if (ours) unit->set_committed(state.epoch(), state.commit_token());
    if (id.starts_with("admit-")) remove(unit);
    return;
  }
  if (record->ended) {
    workers_.run([this, unit] { (void)report_end(unit); });  // told already, most likely; telling twice does no harm
    return;
  }
  log::warn("unit {} has no keeper any more: {}", id, attached.error().message());
  workers_.run([this, unit] {
    const auto held = gate(unit->record().unit);
    const std::lock_guard lock(*held);
    settle_dead(unit);
  });
}

}  // namespace godwit::node
