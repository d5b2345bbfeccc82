#include "base/fault.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <mutex>

#include "base/log.h"

namespace godwit::fault {
namespace {

enum class Action { kKill, kFail, kStall };

struct Armed {
  std::string point;
  Action action;
  int countdown;  // acts when it reaches 0
};

std::mutex mutex;
std::vector<Armed> armed;           // guarded by mutex
std::atomic<bool> anything_armed{false};
std::atomic<int> releases{0};  // counts what ends a stall: an arming, a SIGCONT

constexpr timespec kLook{0, 2'000'000};

Result<Armed> parse(std::string_view item) {
  const size_t colon = item.find(':');
  if (colon == std::string_view::npos) return fail(Code::kUsage, "fault point without an action: " + std::string(item));
  Armed a{std::string(item.substr(0, colon)), Action::kFail, 1};
  std::string_view action = item.substr(colon + 1);
  if (const size_t at = action.find('@'); at != std::string_view::npos) {
    const auto digits = action.substr(at + 1);
    if (std::from_chars(digits.begin(), digits.end(), a.countdown).ptr != digits.end() || a.countdown < 1) {
      return fail(Code::kUsage, "not a count: " + std::string(digits));
    }
    action = action.substr(0, at);
  }
  if (action == "kill")
    a.action = Action::kKill;
  else if (action == "fail")
    a.action = Action::kFail;
  else if (action == "stall")
    a.action = Action::kStall;
  else
    return fail(Code::kUsage, "no such fault action: " + std::string(action) + " (kill, fail, stall)");
  if (std::ranges::none_of(points(), [&](const Point& p) { return p.name == a.point; })) {
    return fail(Code::kUsage, "no such fault point: " + a.point);
  }
  return a;
}

void count_release(int) { releases++; }

// SIGCONT releases a stall. Only where one is armed: else the signal keeps its default.
void listen_for_release() {
  struct sigaction action{};
  action.sa_handler = count_release;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGCONT, &action, nullptr);
}

// The environment is read once, at start-up, before any thread exists.
const bool kFromEnvironment = [] {
  if (const char* spec = std::getenv("GODWIT_FAULT")) (void)arm(spec);
  return true;
}();

}  // namespace

Result<void> arm(std::string_view spec) {
  std::vector<Armed> list;
  while (!spec.empty()) {
    const size_t comma = std::min(spec.find(','), spec.size());
    TRY(auto one, parse(spec.substr(0, comma)));
    list.push_back(std::move(one));
    spec.remove_prefix(std::min(comma + 1, spec.size()));
  }
  if (std::ranges::any_of(list, [](const Armed& a) { return a.action == Action::kStall; })) listen_for_release();
  const std::scoped_lock lock(mutex);
  releases++;
  armed = std::move(list);
  anything_armed = !armed.empty();
  return {};
}

Result<void> pass(std::string_view point) {
  if (!anything_armed.load(std::memory_order_relaxed)) return {};
  Action action;
  {
    const std::scoped_lock lock(mutex);
    const auto it = std::ranges::find_if(armed, [&](const Armed& a) { return a.point == point; });
    if (it == armed.end() || it->countdown <= 0 || --it->countdown > 0) return {};
    action = it->action;
  }
  switch (action) {
    case Action::kKill:
      log::warn("fault point {}: kill", point);
      ::kill(::getpid(), SIGKILL);
      ::pause();
      break;
    case Action::kStall: {
      const int before = releases;
      log::warn("fault point {}: stall", point);
      while (releases == before) ::nanosleep(&kLook, nullptr);
      log::warn("fault point {}: goes on", point);
      return {};
    }
    case Action::kFail: log::warn("fault point {}: fail", point); break;
  }
  return fail(Code::kFailed, "fault point " + std::string(point) + " was armed to fail");
}

}  // namespace godwit::fault
