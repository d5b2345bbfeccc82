// A user's terminal (or pipes) joined to a unit: `run -i/-t` and `attach`.
#pragma once

#include <string>

#include "cli/context.h"

namespace godwit::cli {

/// Runs until the unit ends or the user detaches (ctrl-p ctrl-q on a terminal). Returns the exit status of the command.
/// The terminal is put back as it was, whatever happens short of SIGKILL.
int attach_session(Context& context, const std::string& unit, bool terminal);
/// The size of this terminal, zero when there is none.
wire::WindowSize window_size();

}  // namespace godwit::cli
