#include "node/unit.h"  // first, so that the header proves self-contained

#include <nlohmann/json.hpp>

#include "base/io.h"
#include "base/log.h"

namespace godwit::node {
namespace {

using nlohmann::json;
namespace k = wire::keeper;

// One function walks the fields for writing and reading, so that they can't disagree.
template <typename R, typename Visit>
void visit_fields(R& r, const Visit& visit) {
  visit("unit", r.unit);
  visit("epoch", r.epoch);
  visit("token", r.token);
  visit("migration", r.migration);
  visit("source_epoch", r.source_epoch);
  visit("receive_token", r.receive_token);
  visit("ended", r.ended);
  visit("status", r.status);
  visit("signal", r.signal);
  visit("ended_ms", r.ended_ms);
}

}  // namespace

Result<void> save_record(const std::string& dir, const UnitRecord& record) {
  json j;
  visit_fields(record, [&](const char* name, const auto& field) { j[name] = field; });
  if (!record.reason.empty()) j["reason"] = record.reason;
  if (!record.progress.empty()) j["progress"] = record.progress;
  return io::replace_file(dir + "/unit.json", j.dump() + "\n", 0600);
}

Result<UnitRecord> load_record_of(const std::string& dir) {
  TRY(const std::string text, io::read_file(dir + "/unit.json", 1u << 16));
  try {
    const json j = json::parse(text);
    UnitRecord record;
    visit_fields(record, [&](const char* name, auto& field) { j.at(name).get_to(field); });
    record.reason = j.value("reason", "");
    record.progress = j.value("progress", "");
    return record;
  } catch (const json::exception& e) {
    return fail(Code::kCorrupt, dir + "/unit.json: " + e.what());
  }
}

UnitRecord Unit::record() const {
  const std::lock_guard lock(mutex_);
  return record_;
}

void Unit::change(const std::function<void(UnitRecord&)>& edit) {
  {
    const std::lock_guard lock(mutex_);
    edit(record_);
    unsaved_ = true;
  }
  save();
}

void Unit::save() {
  const std::lock_guard lock(mutex_);
  if (!unsaved_ || news_.gone) return;
  const auto saved = save_record(dir_, record_);
  if (!saved) log::warn("unit {}: its record will be written later: {}", record_.unit, saved.error().message());
  unsaved_ = !saved;
}

void Unit::keep(std::unique_ptr<OpenCommit> call) {
  const std::lock_guard lock(mutex_);
  std::swap(commit_, call);  // another one ends outside of the lock
}

std::unique_ptr<OpenCommit> Unit::take_commit() {
  const std::lock_guard lock(mutex_);
  return std::move(commit_);
}

void Unit::set_committed(uint64_t epoch, const std::string& token) {
  change([&](UnitRecord& r) {
    r.epoch = epoch;
    r.token = token;
  });
}

Result<void> Unit::attach_keeper(const std::shared_ptr<Unit>& self, Durable durable) {
  // Events may come before connect() has returned; who handles them waits for keeper() by need_keeper's lock.
  {
    const std::lock_guard lock(mutex_);
    seen_.clear();
    news_.keeper_lost = false;
  }
  const std::weak_ptr<Unit> weak = self;
  TRY(std::shared_ptr<Keeper> keeper, Keeper::connect(dir_, [weak, durable](const Packet* packet) {
        if (const auto unit = weak.lock()) unit->on_event(unit, packet, durable);
      }));
  const std::lock_guard lock(mutex_);
  keeper_ = std::move(keeper);
  changed_.notify_all();
  return {};
}

void Unit::on_event(const std::shared_ptr<Unit>& self, const Packet* packet, const Durable& durable) {
  if (packet == nullptr) {
    tell([](News& n) { n.keeper_lost = true; });
    durable(self, nullptr);
    return;
  }
  if (packet->has_progress()) {
    tell([&](News& n) {
      n.progress = packet->progress();
      n.progress_count++;
    });
    return;
  }
  if (packet->has_commit_soon()) return durable(self, packet);  // lost when nobody listens
  if (packet->seq() == 0) return;
  {
    const std::lock_guard lock(mutex_);
    if (!seen_.insert(packet->seq()).second) return;
  }
  durable(self, packet);
}

std::shared_ptr<Keeper> Unit::keeper() const {
  const std::lock_guard lock(mutex_);
  return keeper_ && keeper_->connected() ? keeper_ : nullptr;
}

Outcome<std::shared_ptr<Keeper>> Unit::need_keeper() const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::seconds(1), [&] { return keeper_ != nullptr || news_.gone || record_.ended; });
  if (keeper_ && keeper_->connected()) return keeper_;
  if (record_.ended) return failed(Code::kGone, "the unit has ended");
  return failed(Code::kGone, "the unit has no keeper here any more");
}

void Unit::drop_keeper() {
  std::shared_ptr<Keeper> old;
  const std::lock_guard lock(mutex_);
  old.swap(keeper_);
}

void Unit::refresh() {
  if (refreshing_.exchange(true)) return;
  if (const auto asked = keeper()) (void)asked->refresh();
  save();
  refreshing_ = false;
}

void Unit::set_gone() {
  tell([](News& n) { n.gone = true; });
}
bool Unit::gone() const {
  const std::lock_guard lock(mutex_);
  return news_.gone;
}

std::optional<wire::UnitLoad> Unit::load() const {
  const auto k = keeper();
  const UnitRecord r = record();
  if (gone()) return std::nullopt;
  wire::UnitLoad out;
  out.set_unit(r.unit);
  out.set_epoch(r.epoch);
  out.set_token(r.token);
  if (r.ended) {
    out.set_state(wire::EXITED);
    return out;
  }
  if (!k) return std::nullopt;
  const auto s = k->state();
  switch (s.phase()) {
    case k::STARTING: out.set_state(wire::STARTING); break;
    case k::RUNNING:
    case k::ARRIVING:
    case k::SENDING: out.set_state(wire::RUNNING); break;
    case k::RECEIVING:
      // Ours from the grant on, though the keeper may not have heard of it.
      if (r.epoch == 0) return std::nullopt;
      out.set_state(wire::RUNNING);
      break;
    case k::ENDED: out.set_state(wire::EXITED); break;
    default: return std::nullopt;
  }
  out.set_memory_bytes(s.memory_bytes());
  out.set_cpu_seconds(s.cpu_seconds());
  out.set_processes(s.processes());
  out.set_init_pid(s.init_pid());
  out.set_frozen(s.frozen());
  out.set_arriving(s.phase() == k::RECEIVING || s.phase() == k::ARRIVING);
  return out;
}

bool Unit::wait(std::chrono::milliseconds limit, const std::function<bool(const News&)>& wanted) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, limit, [&] { return wanted(news_); });
}

Unit::News Unit::news() const {
  const std::lock_guard lock(mutex_);
  return news_;
}

void Unit::tell(const std::function<void(News&)>& edit) {
  const std::lock_guard lock(mutex_);
  edit(news_);
  changed_.notify_all();
}

}  // namespace godwit::node
