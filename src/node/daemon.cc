#include "node/daemon.h"  // first, so that the header proves self-contained

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "base/base.h"
#include "confine/confine.h"
#include "node/keeper_process.h"
#include "node/load.h"
#include "node/notice.h"
#include "node/papers.h"

namespace godwit::node {
namespace {

using std::chrono::milliseconds;
namespace k = wire::keeper;

constexpr milliseconds kRegisterAgain{200};
constexpr milliseconds kDefaultHeartbeat{1000};
constexpr milliseconds kAnswerPatience{200};
// What a commit that was under way when the last daemon died may take to be known before this one says what it has.
constexpr milliseconds kCommitGrace{3000};

bool valid_id(const std::string& id) {
  return !id.empty() && id.size() <= 64 &&
         std::ranges::all_of(id, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-'; });
}

}  // namespace

Daemon::Daemon(Options options, rpc::Identity identity)
    : options_(std::move(options)),
      identity_(std::move(identity)),
      place_(identity_.sites, options_.name, options_.grid),
      cluster_(options_.controller, identity_, place_.controller(), place_.there()),
      images_(options_.state_dir + "/images", identity_, place_) {}

Daemon::~Daemon() {
  stop();
  // The connections end first: no event comes any more, so no job is added while the jobs are waited for.
  {
    const std::lock_guard lock(units_mutex_);
    for (auto& [id, unit] : units_) unit->drop_keeper();
  }
  workers_.finish();
}

void Daemon::stop() { cluster_.stop(); }

// ------------------------------------------------------------------------------------------------------ registration

wire::NodeInfo Daemon::info() const {
  wire::NodeInfo info = describe_machine(options_.root, options_.state_dir);
  if (!options_.arch.empty()) {
    info.set_arch(options_.arch);
    info.set_emulated(true);
  }
  info.set_name(place_.there());
  const auto port = [](const std::string& address) { return address.substr(address.rfind(':')); };
  info.set_control(options_.advertise + port(options_.listen));
  info.set_data(options_.advertise + port(options_.data_listen));
  info.set_pid(options_.outer_pid != 0 ? options_.outer_pid : ::getpid());
  if (const auto key = trace_key(options_.state_dir)) info.set_trace_key(key->public_key().base64());
  info.set_units(static_cast<uint32_t>(loads().size()));
  return info;
}

std::vector<wire::UnitLoad> Daemon::loads() const {
  std::vector<UnitPtr> all;
  {
    const std::lock_guard lock(units_mutex_);
    for (const auto& [id, unit] : units_) all.push_back(unit);
  }
  std::vector<wire::UnitLoad> out;
  for (const auto& unit : all) {
    if (auto load = unit->load()) out.push_back(std::move(*load));
  }
  return out;
}

// Before loads(): a unit that becomes this node's in between is in either.
void Daemon::add_receiving(google::protobuf::RepeatedPtrField<wire::ReleaseRequest>& rows) const {
  const std::lock_guard lock(units_mutex_);
  for (const auto& [id, unit] : units_) {
    const UnitRecord record = unit->record();
    if (record.epoch != 0 || record.migration.empty()) continue;
    auto& row = *rows.Add();
    row.set_unit(id);
    row.set_migration(record.migration);
  }
}

void Daemon::settle_commits() {
  const auto limit = std::chrono::steady_clock::now() + kCommitGrace;
  const auto open = [&] {
    const std::lock_guard lock(units_mutex_);
    return std::ranges::any_of(units_, [](const auto& row) {
      const auto record = row.second->record();
      const auto keeper = row.second->keeper();
      return keeper && keeper->state().phase() == k::RECEIVING && keeper->state().frozen() && record.epoch == 0;
    });
  };
  while (open() && std::chrono::steady_clock::now() < limit && cluster_.pause(milliseconds(20))) {
  }
}

// A keeper that doesn't answer (it is stopped, or its machine is short of memory) must not make the whole node look gone: the
// beat goes out with what was known of it.
void Daemon::refresh_units() {
  struct Asked {
    std::mutex mutex;
    std::condition_variable answered;
    size_t open = 0;
  };
  const auto asked = std::make_shared<Asked>();
  for (const auto& load : loads()) {
    const auto unit = known(load.unit());
    if (!unit) continue;
    {
      const std::lock_guard lock(asked->mutex);
      asked->open++;
    }
    workers_.run([unit, asked] {
      unit->refresh();
      const std::lock_guard lock(asked->mutex);
      if (--asked->open == 0) asked->answered.notify_all();
    });
  }
  std::unique_lock lock(asked->mutex);
  asked->answered.wait_for(lock, kAnswerPatience, [&] { return asked->open == 0; });
}

void Daemon::add_activity(wire::NodeLoad& load, google::protobuf::RepeatedPtrField<wire::UnitLoad>& units) {
  const double now = std::chrono::duration<double>(monotonic_now()).count();
  *load.mutable_activity() = collector_.node(now);
  std::set<std::string> here;
  for (auto& row : units) {
    const auto unit = known(row.unit());
    if (!unit || row.state() != wire::RUNNING) continue;
    // A unit that is restored where it was begins anew: what its last incarnation had reached isn't its own.
    const std::string id = row.unit() + "@" + std::to_string(row.epoch());
    here.insert(id);
    *row.mutable_activity() = collector_.unit(id, row.init_pid(), row.cpu_seconds(), unit->record().progress, now);
  }
  collector_.keep_only(here);
}

void Daemon::add_notice(wire::NodeLoad& load) {
  const auto notice =
      look_for_notice(options_.notice_file, std::chrono::duration<double>(clock_now(CLOCK_REALTIME)).count());
  if (!notice) return;
  if (std::exchange(notice_, notice->id()) != notice->id())
    log::warn("{} says that this machine goes in {:.0f} s", options_.notice_file, notice->seconds());
  *load.mutable_notice() = *notice;
}

void Daemon::keep_registered(const std::function<void()>& registered) {
  settle_commits();
  bool known_there = false, ever = false, told = false;
  milliseconds beat = kDefaultHeartbeat;
  do {
    std::vector<wire::Disown> disowned;
    refresh_units();
    if (!known_there) {
      wire::RegisterRequest request;
      *request.mutable_node() = info();
      add_receiving(*request.mutable_receiving());
      for (const auto& load : loads()) *request.add_units() = load;
      add_activity(*request.mutable_node()->mutable_load(), *request.mutable_units());
      const auto reply = cluster_.register_node(request);
      if (!reply) {
        if (!std::exchange(told, true)) log::warn("not registered yet: {}", reply.error().message());
        beat = kRegisterAgain;
        continue;
      }
      known_there = true, told = false;
      beat = milliseconds(std::clamp<uint32_t>(reply->heartbeat_ms(), 50, 60'000));
      disowned.assign(reply->disown().begin(), reply->disown().end());
      log::info("registered controller={}", options_.controller);
      if (!std::exchange(ever, true)) registered();
    } else {
      wire::HeartbeatRequest request;
      request.set_node(place_.there());
      *request.mutable_load() = measure_load(options_.state_dir);
      add_notice(*request.mutable_load());
      add_receiving(*request.mutable_receiving());
      for (const auto& load : loads()) *request.add_units() = load;
      add_activity(*request.mutable_load(), *request.mutable_units());
      const auto reply = cluster_.heartbeat(request);
      if (!reply && !std::exchange(told, true)) log::warn("a heartbeat got no answer: {}", reply.error().message());
      if (reply) told = false;
      if (reply && reply->unknown()) {
        known_there = false;
        beat = kRegisterAgain;
      }
      if (reply) disowned.assign(reply->disown().begin(), reply->disown().end());
      if (reply) {
        for (const auto& r : reply->release()) workers_.run([this, r] { (void)release(r); });
      }
    }
    for (const auto& d : disowned) {
      workers_.run([this, d] {
        log::warn("the controller disowns unit={} epoch={}", d.unit(), d.epoch());
        if (auto done = discard(d); !done) log::warn("not discarded: {}", done.error().error.message());
      });
    }
  } while (cluster_.pause(beat));
}

// ------------------------------------------------------------------------------------------------------------- units

std::shared_ptr<std::mutex> Daemon::gate(const std::string& id) {
  const std::lock_guard lock(units_mutex_);
  auto& gate = gates_[id];
  if (!gate) gate = std::make_shared<std::mutex>();
  return gate;
}

Daemon::UnitPtr Daemon::known(const std::string& id) const {
  const std::lock_guard lock(units_mutex_);
  const auto it = units_.find(id);
  return it == units_.end() ? nullptr : it->second;
}

Outcome<Daemon::UnitPtr> Daemon::unit(const std::string& id) const {
  if (auto found = known(id)) return found;
  return failed(Code::kNotFound, "no unit " + id + " on " + options_.name);
}

Daemon::UnitPtr Daemon::unit_of_migration(const std::string& migration) const {
  if (migration.empty()) return nullptr;
  const std::lock_guard lock(units_mutex_);
  for (const auto& [id, unit] : units_) {
    if (unit->record().migration == migration) return unit;
  }
  return nullptr;
}

Outcome<void> Daemon::make_room(const std::string& id) {
  if (!valid_id(id)) return failed(Code::kUsage, "not a unit's id: " + id);
  if (const auto old = known(id)) {
    if (const auto keeper = old->keeper()) {
      auto state = keeper->refresh();
      const auto phase = state ? state->phase() : keeper->state().phase();
      if (phase != k::GONE && phase != k::ENDED && phase != k::EMPTY) {
        return failed(Code::kRefused,
                      "unit " + id + " is on " + options_.name + " already (" + k::Phase_Name(phase) + ")");
      }
    }
    remove(old);
  }
  confine::forget(unit_dir(id));
  if (auto cleared = sys::remove_tree(unit_dir(id)); !cleared) return failed(cleared.error());
  return {};
}

Outcome<Daemon::UnitPtr> Daemon::new_keeper(const UnitRecord& record) {
  TRY_DO(make_room(record.unit));
  const std::string dir = unit_dir(record.unit);
  std::string fault;
  {
    const std::lock_guard lock(fault_mutex_);
    fault = fault_;
  }
  const auto start = [&]() -> Result<UnitPtr> {
    TRY_DO(sys::make_dirs(dir, 0700));
    TRY_DO(save_record(dir, record));
    TRY_DO(start_keeper({record.unit, dir, options_.state_dir, options_.name, options_.root, options_.arch}, fault));
    auto unit = std::make_shared<Unit>(record, dir);
    // It must be found by its events, which may come at once.
    {
      const std::lock_guard lock(units_mutex_);
      units_[record.unit] = unit;
    }
    TRY_DO(unit->attach_keeper(unit, [this](const UnitPtr& u, const Packet* p) { on_durable(u, p); }));
    return unit;
  };
  auto unit = start();
  if (unit) return *unit;
  std::string words = io::read_file(dir + "/keeper.log", 1u << 16).value_or("");
  while (!words.empty() && words.back() == '\n') words.pop_back();
  if (words.size() > 400) words.erase(0, words.size() - 400);
  {
    const std::lock_guard lock(units_mutex_);
    units_.erase(record.unit);
  }
  (void)sys::remove_tree(dir);
  Error why = unit.error().in("starting a keeper").as(Code::kFailed);
  if (!words.empty()) why.text += "; it said: " + words;
  return failed(std::move(why));
}

void Daemon::remove(const UnitPtr& unit) {
  const std::string id = unit->record().unit;
  if (const auto keeper = unit->keeper()) {
    Packet packet;
    packet.mutable_shutdown();
    (void)keeper->request(std::move(packet));
  }
  unit->set_gone();
  unit->drop_keeper();
  {
    const std::lock_guard lock(units_mutex_);
    if (const auto it = units_.find(id); it != units_.end() && it->second == unit) units_.erase(it);
  }
  confine::forget(unit->dir());
  if (auto removed = sys::remove_tree(unit->dir()); !removed) log::warn("{}", removed.error().message());
}

Outcome<void> Daemon::arm(const std::string& spec) {
  if (auto armed = fault::arm(spec); !armed) return failed(armed.error());
  std::vector<UnitPtr> all;
  {
    const std::lock_guard lock(fault_mutex_);
    fault_ = spec;
  }
  {
    const std::lock_guard lock(units_mutex_);
    for (const auto& [id, unit] : units_) all.push_back(unit);
  }
  for (const auto& unit : all) {
    const auto keeper = unit->keeper();
    if (!keeper) continue;
    Packet packet;
    packet.mutable_arm()->set_spec(spec);
    TRY_DO(keeper->request(std::move(packet)));
  }
  return {};
}

}  // namespace godwit::node
