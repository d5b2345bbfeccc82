#include "base/fault.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <mutex>

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
  const std::scoped_lock lock(mutex);
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
      ::kill(::getpid(), SIGKILL);
      ::pause();
      break;
    case Action::kStall: ::pause(); break;
    case Action::kFail: break;
  }
  return fail(Code::kFailed, "fault point " + std::string(point) + " was armed to fail");
}

}  // namespace godwit::fault
