// The paths of a document, as a Landlock ruleset (landlock(7)).
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::confine {

/// 0 where Landlock isn't there or off.
int landlock_version();
/// From Linux 6.2 on: before, truncate(2) went past it.
inline constexpr int kLandlockNeeded = 3;

struct PathRule {
  std::string path;  ///< as the calling process sees it; one that isn't there is left out
  bool write = false;  ///< besides, not instead: reading is a rule of its own
  /// In the unit's /proc, which isn't mounted yet. A rule on a directory that is mounted over later isn't looked at.
  [[nodiscard]] bool in_proc() const { return path == "/proc" || path.starts_with("/proc/"); }
  [[nodiscard]] uint64_t access() const;
  [[nodiscard]] uint64_t access_of_file() const;
};
/// Of those that aren't in /proc.
Result<Fd> make_ruleset(const std::vector<PathRule>& rules);

}  // namespace godwit::confine
