// Starting a keeper: nobody's child, in a session of its own, reachable before it runs.
#pragma once

#include <string>

#include "base/result.h"
#include "link/keeper_args.h"

namespace godwit::node {

/// Where the keeper's program is: beside this one. Code::kRefused, by name, when it isn't there.
Result<std::string> keeper_program();
/// Listens at DIR/keeper.sock, starts the keeper on it with its log DIR/keeper.log. `fault` is GODWIT_FAULT for it.
Result<void> start_keeper(const link::KeeperArgs& args, const std::string& fault);

}  // namespace godwit::node
