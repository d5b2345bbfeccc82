// Another root file system for this process: how a node of an embedded grid gets a world without the host's programs.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace godwit {

/// Gives the calling process (single-threaded) a mount namespace of its own, whose root is `dir`: with this PID
/// namespace's /proc, the host's /sys and /dev, and each of `keep` (absolute directories, for instance the state
/// directory) bound at its own path. Missing mount points in `dir` are made; nothing else in it is changed. The old root
/// is out of reach afterwards, except by descriptors that are open. What was loaded stays loaded, so the program needs
/// nothing of its own inside; but it can't load a library later.
/// On failure the process is in a half-made mount namespace and should exit.
Result<void> enter_root(const std::string& dir, const std::vector<std::string>& keep);

}  // namespace godwit
