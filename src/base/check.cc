#include "base/check.h"

#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace godwit {
namespace {
std::vector<std::function<void()>>& actions() {
  static std::vector<std::function<void()>> list;
  return list;
}
}  // namespace

void on_check_failure(std::function<void()> action) { actions().push_back(std::move(action)); }

void check_failed(const char* file, int line, const char* condition, std::string_view detail) {
  std::fprintf(stderr, "godwit: bug: %s:%d: check failed: %s %.*s\n", file, line, condition,
               static_cast<int>(detail.size()), detail.data());
  auto todo = std::exchange(actions(), {});
  for (auto& action : todo) action();
  std::abort();
}

}  // namespace godwit
