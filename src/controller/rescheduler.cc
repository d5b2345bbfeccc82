#include "controller/rescheduler.h"

#include <algorithm>

#include "base/log.h"

namespace godwit::controller {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLook{500};
constexpr size_t kAtOnce = 4;
constexpr int64_t kRefusedMs = 300'000;
// One that must go has no time to wait, and what refused it may be over: it was being started, or moved already.
constexpr int64_t kRefusedForcedMs = 10'000;

}  // namespace

void Rescheduler::start() {
  thread_ = std::thread([this] { loop(); });
}

void Rescheduler::stop() {
  stopping_ = true;
  ledger_.wake();
  if (thread_.joinable()) thread_.join();
}

void Rescheduler::loop() {
  while (!stopping_) {
    (void)ledger_.wait([](const State&, const Now&) { return false; }, kLook, [this] { return stopping_.load(); });
    if (stopping_) return;
    reap();
    look();
    carry_out();
  }
}

void Rescheduler::look() {
  const auto [on, event] = ledger_.read(
      [&](const State& s, const Now& now) { return std::pair(automation(s).on, next_event(s, now, watch_)); });
  if (!on) std::erase_if(wanted_, [](const Wanted& w) { return !w.forced; });
  if (!event) return;
  const bool leaves = event->kind == sched::EventKind::kLeave || event->kind == sched::EventKind::kSpot;
  if (!on && !leaves) return;
  // Moves under way change what a plan would be made of; that of the load can wait for them.
  if (event->kind != sched::EventKind::kLoad || running_.empty()) decide(*event, on);
}

void Rescheduler::decide(const SchedEvent& event, bool on) {
  struct Decided {
    Automation automation;
    SchedView view;
  };
  Decided d = ledger_.read([&](const State& s, const Now& now) {
    std::erase_if(refused_, [&](const auto& row) { return row.second < now.monotonic_ms; });
    return Decided{automation(s), sched_view(s, now, event)};
  });
  for (const auto& [pair, until] : refused_) {
    const auto it = std::ranges::find(d.view.units, pair.first);
    if (it != d.view.units.end())
      d.view.now.units[static_cast<size_t>(it - d.view.units.begin())].excluded.push_back(pair.second);
  }
  // Not under the ledger's lock: a policy may take a second.
  const sched::Problem problem = sched::make_problem(d.view.now);
  const sched::Plan plan = sched::decide(d.automation.choice, problem);
  wanted_.clear();
  for (const auto& m : plan.moves) {
    const bool forced = m.why != sched::Why::kGain;
    if (!on && !forced) continue;
    wanted_.push_back({d.view.units[static_cast<size_t>(m.unit)], d.view.nodes[static_cast<size_t>(m.to)], forced,
                       std::string(sched::event_word(event.kind))});
  }
  if (!plan.moves.empty() || event.kind != sched::EventKind::kLoad)
    log::info("rescheduling event={} node={} policy={} units={} moves={} dropped={} stuck={} makespan={:.1f}->{:.1f}",
              sched::event_word(event.kind), event.node, sched::full_name(d.automation.choice), d.view.units.size(),
              plan.moves.size(), plan.dropped, plan.stuck.size(), plan.before.makespan, plan.after.makespan);
}

/// It isn't wanted there again for a while.
void Rescheduler::bar(const Wanted& refused) {
  const int64_t now = ledger_.read([](const State&, const Now& n) { return n.monotonic_ms; });
  refused_[{refused.unit, refused.to}] = now + (refused.forced ? kRefusedForcedMs : kRefusedMs);
}

void Rescheduler::carry_out() {
  while (running_.size() < kAtOnce && !wanted_.empty()) {
    const bool forced_runs = std::ranges::any_of(running_, [](const Running& r) { return r.wanted.forced; });
    if (!wanted_.front().forced && forced_runs) return;
    const Wanted next = wanted_.front();
    wanted_.pop_front();
    auto move = mover_.start(next.unit, next.to, {});
    if (move) {
      running_.push_back({*move, next});
      continue;
    }
    log::info("not rescheduled unit={} to={}: {}", next.unit, next.to, move.error().error.message());
    bar(next);
  }
}

void Rescheduler::reap() {
  std::erase_if(running_, [&](const Running& r) {
    const auto result = r.move->result([] { return true; });
    if (!result) return false;
    if (*result) {
      log::info("rescheduled unit={} to={} because={} downtime_ms={:.1f} total_ms={:.1f}", r.wanted.unit, r.wanted.to,
                r.wanted.why, (*result)->downtime_ms(), (*result)->total_ms());
    } else {
      log::info("not rescheduled unit={} to={}: {}", r.wanted.unit, r.wanted.to, result->error().error.message());
      bar(r.wanted);
    }
    return true;
  });
}

}  // namespace godwit::controller
