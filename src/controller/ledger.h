// Ledger: the State in memory and the Store under one lock. The only way to read or change what the controller knows.
//
//     auto verdict = ledger.decide([&](const State& s, const Now& now) { return plan_move(s, now, ...); });
//
// decide() runs a pure decision, writes its changes, and applies them: all or nothing, one after the other. Every change
// wakes those who wait(). The lock is never held during a remote call. A commit holds it for one transaction, some 50 us.
//
// Lock order: the ledger's lock is the innermost; nothing else is taken while it is held.
#pragma once

#include <chrono>
#include <concepts>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>

#include "controller/decide.h"
#include "controller/store.h"

namespace godwit::controller {

class Ledger {
 public:
  static Result<std::unique_ptr<Ledger>> open(const std::string& path);

  /// Calls f(state, now) under the lock; f returns a value, never a reference into the state.
  template <typename F>
  auto read(F&& f) const {
    const std::lock_guard lock(mutex_);
    return f(state_, now());
  }

  /// Calls f(state, now), which returns something with `changes` or an Outcome of such; writes and applies them.
  template <typename F>
  auto decide(F&& f) {
    const std::lock_guard lock(mutex_);
    return settle(f(state_, now()));
  }

  /// A sign of life of a node with what it measured; not written to the file.
  void heard(const wire::HeartbeatRequest& beat);
  /// Registration: as decide(registered), and sets what is volatile.
  Outcome<RegisterVerdict> register_node(const wire::RegisterRequest& request);

  /// Waits until done(state, now) or the deadline or `cancelled`; looks at least every 200 ms. True when done.
  bool wait(const std::function<bool(const State&, const Now&)>& done, std::chrono::milliseconds limit,
            const std::function<bool()>& cancelled = {}) const;

  /// Lets every wait() look at its `cancelled` now.
  void wake() const;

  Result<void> close_properly();

  /// Whose controller this is, which sites it trusts besides, and what it signs heads with; before anything else is asked.
  void set_site(const std::string& site, std::set<std::string> trusted, const delegation::PublicKey& key);
  Result<std::vector<std::string>> handovers(const std::string& unit);

 private:
  explicit Ledger(Store store, State state) : store_(std::move(store)), state_(std::move(state)) {}
  static Now now();
  Result<void> write(Changes& changes);

  template <typename T>
  Outcome<T> settle(Outcome<T> verdict) {
    if (!verdict) return verdict;
    if (auto written = write(verdict->changes); !written) return std::unexpected(rpc::Failure{written.error(), {}});
    return verdict;
  }
  template <typename T>
    requires std::same_as<decltype(T::changes), Changes>
  Outcome<T> settle(T verdict) {
    return settle(Outcome<T>(std::move(verdict)));
  }
  Outcome<Changes> settle(Changes changes) {
    if (auto written = write(changes); !written) return std::unexpected(rpc::Failure{written.error(), {}});
    return changes;
  }

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Store store_;
  State state_;
};

}  // namespace godwit::controller
