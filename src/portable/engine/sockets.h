// What a portable program has open that isn't a file.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "engine/engine.h"

namespace godwit::portable {

/// Why it can't move, if so. `link`: what /proc says of it.
std::optional<engine::Blocker> look_at_special(const Fd& process, int fd, const std::string& link,
                                               const std::string& object);

}  // namespace godwit::portable
