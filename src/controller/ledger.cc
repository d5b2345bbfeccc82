#include "controller/ledger.h"

#include "controller/delegated.h"

#include "base/clock.h"

namespace godwit::controller {
namespace {
constexpr std::chrono::milliseconds kLookAgain{200};
}

Result<std::unique_ptr<Ledger>> Ledger::open(const std::string& path) {
  TRY(auto store, Store::open(path));
  TRY(auto state, store.load());
  // Nobody is gone because this controller was away: each gets its time to be heard of.
  for (const auto& [name, node] : state.nodes) state.seen[name] = now().monotonic_ms;
  return std::unique_ptr<Ledger>(new Ledger(std::move(store), std::move(state)));
}

Now Ledger::now() {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  return {duration_cast<milliseconds>(clock_now(CLOCK_REALTIME)).count(),
          duration_cast<milliseconds>(monotonic_now()).count()};
}

Result<void> Ledger::write(Changes& changes) {
  if (changes.empty()) return {};
  keep_up(state_, changes);
  TRY_DO(store_.write(changes));
  state_.apply(changes);
  changed_.notify_all();
  return {};
}

void Ledger::heard(const wire::HeartbeatRequest& beat) {
  const std::lock_guard lock(mutex_);
  const Now at = now();
  const auto node = state_.nodes.find(beat.node());
  if (node == state_.nodes.end()) return;
  const bool was_gone = is_gone(state_, at, beat.node());
  state_.seen[beat.node()] = at.monotonic_ms;
  node->second.set_seen_ms(at.wall_ms);
  *node->second.mutable_load() = beat.load();
  for (const auto& load : beat.units()) {
    const auto unit = state_.units.find(load.unit());
    if (unit != state_.units.end() && unit->second.node() == beat.node() && unit->second.epoch() == load.epoch())
      *unit->second.mutable_load() = load;
  }
  if (was_gone) changed_.notify_all();
}

Outcome<RegisterVerdict> Ledger::register_node(const wire::RegisterRequest& request) {
  auto verdict = decide([&](const State& s, const Now& at) { return registered(s, at, request); });
  if (!verdict) return verdict;
  {
    const std::lock_guard lock(mutex_);
    if (verdict->again)
      state_.registered.erase(request.node().name());
    else
      state_.registered.insert(request.node().name());
    const bool some = !state_.uncertain.empty();
    for (const auto& id : verdict->certain) state_.uncertain.erase(id);
    if (some && state_.uncertain.empty()) {
      if (auto noted = store_.note_boot(); !noted) return std::unexpected(rpc::Failure{noted.error(), {}});
    }
  }
  wire::HeartbeatRequest beat;
  beat.set_node(request.node().name());
  *beat.mutable_load() = request.node().load();
  *beat.mutable_units() = request.units();
  heard(beat);
  return verdict;
}

bool Ledger::wait(const std::function<bool(const State&, const Now&)>& done, std::chrono::milliseconds limit,
                  const std::function<bool()>& cancelled) const {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::unique_lock lock(mutex_);
  for (;;) {
    if (done(state_, now())) return true;
    if (cancelled && cancelled()) return false;
    const auto at = std::chrono::steady_clock::now();
    if (at >= deadline) return false;
    changed_.wait_until(lock, std::min(deadline, at + kLookAgain));
  }
}

void Ledger::wake() const {
  const std::lock_guard lock(mutex_);  // a waiter that has just looked is in its wait now
  changed_.notify_all();
}

void Ledger::set_site(const std::string& site, std::set<std::string> trusted, const delegation::PublicKey& key) {
  const std::lock_guard lock(mutex_);
  state_.site = site;
  state_.sites = std::move(trusted);
  state_.log_key = key;
  for (auto& [unit, row] : state_.delegations) row.log.head.log = site;
}

Result<std::vector<std::string>> Ledger::handovers(const std::string& unit) {
  const std::lock_guard lock(mutex_);
  return store_.handovers(unit);
}

Result<void> Ledger::close_properly() {
  const std::lock_guard lock(mutex_);
  if (!state_.uncertain.empty()) return {};
  return store_.close_properly();
}

}  // namespace godwit::controller
