// What a restore has made of System V objects, private to sysv_*.cc.
#pragma once

#include <functional>
#include <memory>
#include <vector>

namespace godwit::pod {
class RestoreContext;

struct SysvMade {
  std::vector<std::function<void()>> undo;         ///< removes what was made
  std::vector<std::function<void()>> at_activate;  ///< removals that the unit had asked for
  bool kept = false;
  SysvMade() = default;
  SysvMade(const SysvMade&) = delete;
  SysvMade& operator=(const SysvMade&) = delete;
  ~SysvMade();
};
SysvMade& sysv_made(RestoreContext& ctx);

}  // namespace godwit::pod
