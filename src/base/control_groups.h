// Where this process is in the control groups of the machine (cgroups(7)): of either version, also in a container that has only
// a part of a hierarchy mounted.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace godwit {

struct OwnGroup {
  std::string top;  ///< where the hierarchy is mounted
  std::string dir;  ///< this process's group in it: `top`, or below
};

/// `controller`: of version 1 ("memory"); empty: the hierarchy of version 2. `root`: whose /proc is asked, and below which the
/// hierarchies are; empty but in tests. None when there is no such hierarchy, or it isn't mounted.
std::optional<OwnGroup> own_control_group(std::string_view controller, const std::string& root = {});

/// Whether `word` is in a list like "rw,memory" or "cpu memory\n".
bool has_word(std::string_view list, std::string_view word);

}  // namespace godwit
