#include "controller/watch.h"

#include "controller/leave.h"

namespace godwit::controller {
namespace {

// PSI "some avg10" in percent, and the part of memory that is free. Let go of at half of the one and twice the other.
constexpr double kPressure = 20, kFree = 0.05;

// A node that is still there so long after it should have gone isn't in such a hurry.
constexpr int64_t kOverdueMs = 600'000;

bool short_of_memory(const wire::NodeLoad& load, bool was) {
  const double factor = was ? 2 : 1;
  const double free = static_cast<double>(load.memory_free_bytes()), all = static_cast<double>(load.memory_bytes());
  return load.activity().memory_pressure() > kPressure / factor || (all > 0 && free < kFree * factor * all);
}

}  // namespace

std::optional<SchedEvent> next_event(const State& state, const Now& now, Watch& watch) {
  std::optional<SchedEvent> leave, pressure, gone, come;
  for (const auto& [name, info] : state.nodes) {
    Watch::Node& seen = watch.nodes[name];
    const auto is = node_state(state, now, info);
    const auto was = std::exchange(seen.state, is);
    const int64_t again = now.wall_ms > info.leaves_ms() + kOverdueMs ? kAgainMs : kEmptyMs;
    // News are due at the next look. The first look of all tells of them: a controller that was started anew must go on.
    if (std::exchange(seen.leaves_ms, info.leaves_ms()) != info.leaves_ms())
      seen.emptied_ms = now.monotonic_ms - again + (watch.began ? 1 : 0);
    if (leaves(info) && is != wire::GONE && !leave && has_to_lose(state, name) &&
        now.monotonic_ms - seen.emptied_ms >= again) {
      seen.emptied_ms = now.monotonic_ms;
      leave = SchedEvent{info.spot() ? sched::EventKind::kSpot : sched::EventKind::kLeave, name};
    }
    if (is == wire::READY && was != wire::READY) come = SchedEvent{sched::EventKind::kJoin, name};
    if (is == wire::GONE && was != wire::GONE && was != wire::NODE_UNKNOWN)
      gone = SchedEvent{sched::EventKind::kVanish, name};
    seen.short_of_memory = short_of_memory(info.load(), seen.short_of_memory);
    if (!seen.short_of_memory) seen.pressed_ms = 0;
    if (seen.short_of_memory && is != wire::GONE && !pressure &&
        (seen.pressed_ms == 0 || now.monotonic_ms - seen.pressed_ms >= kAgainMs))
      pressure = SchedEvent{sched::EventKind::kPressure, name};
  }
  std::erase_if(watch.nodes, [&](const auto& row) { return !state.nodes.contains(row.first); });
  const bool first = !std::exchange(watch.began, true);
  std::optional<SchedEvent> event = pressure ? pressure : gone ? gone : come;
  if (first) event.reset();
  if (leave) event = leave;
  // Only what is told counts as told: of several nodes the next look tells the next.
  if (event && event->kind == sched::EventKind::kPressure) watch.nodes[event->node].pressed_ms = now.monotonic_ms;
  const double look_s = automation(state).choice.settings.look_s;
  if (!event && !first && look_s > 0 && static_cast<double>(now.monotonic_ms - watch.looked_ms) >= look_s * 1000)
    event = SchedEvent{};
  if (event || first) watch.looked_ms = now.monotonic_ms;
  return event;
}

}  // namespace godwit::controller
