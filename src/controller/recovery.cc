#include "controller/recovery.h"

#include "base/log.h"

namespace godwit::controller {
namespace {
using std::chrono::milliseconds;
constexpr milliseconds kAskAgain{1000};
constexpr milliseconds kShort{3000};
// A launch that the node took when the controller was killed shows within this time, or it never will.
constexpr int kLooks = 10;
}  // namespace

void Recovery::start() {
  const auto starting = ledger_.read([](const State& s, const Now&) {
    std::vector<wire::Unit> units;
    for (const auto& [id, unit] : s.units)
      if (unit.state() == wire::STARTING) units.push_back(unit);
    return units;
  });
  for (const auto& unit : starting) {
    threads_.emplace_back([this, unit] {
      int looks = 0;
      while (!stopping_ && looks < kLooks) {
        if (settle(unit)) return;
        const bool answers =
            !ledger_.read([&](const State& s, const Now& now) { return is_gone(s, now, unit.node()); });
        if (answers) ++looks;
        (void)ledger_.wait([](const State&, const Now&) { return false; }, kAskAgain,
                           [this] { return stopping_.load(); });
      }
      if (stopping_) return;
      log::warn("unit {} was being started on {} and isn't there: {}", unit.id(), unit.node(),
                unit.epoch() > 1 ? "lost" : "removed");
      (void)ledger_.decide([&](const State& s, const Now&) {
        Changes changes;
        const auto it = s.units.find(unit.id());
        if (it == s.units.end() || it->second.state() != wire::STARTING) return changes;
        if (unit.epoch() == 1) {
          changes.removed_units.push_back(unit.id());
        } else {
          changes.units.push_back(it->second);
          changes.units.back().set_state(wire::LOST);
        }
        return changes;
      });
    });
  }
}

/// True when the unit is no longer STARTING.
bool Recovery::settle(const wire::Unit& unit) {
  const bool open = ledger_.read([&](const State& s, const Now&) {
    const auto it = s.units.find(unit.id());
    return it != s.units.end() && it->second.state() == wire::STARTING;
  });
  if (!open) return true;
  auto node = peers_.node(unit.node());
  if (!node) return false;
  grpc::ClientContext call;
  limit(call, kShort);
  wire::StatusReply reply;
  if (!(*node)->Status(&call, {}, &reply).ok()) return false;
  for (const auto& load : reply.units()) {
    if (load.unit() != unit.id() || load.epoch() != unit.epoch() || load.state() == wire::STARTING) continue;
    (void)ledger_.decide([&](const State& s, const Now&) {
      Changes changes;
      const auto it = s.units.find(unit.id());
      if (it == s.units.end() || it->second.state() != wire::STARTING) return changes;
      changes.units.push_back(it->second);
      changes.units.back().set_state(wire::RUNNING);
      return changes;
    });
    return true;
  }
  return false;
}

void Recovery::stop() {
  stopping_ = true;
  for (auto& thread : threads_)
    if (thread.joinable()) thread.join();
  threads_.clear();
}

}  // namespace godwit::controller
