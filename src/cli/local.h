// The commands that act on this machine's processes without any daemon: `check PID`, `checkpoint --pid`, `restore DIR`.
#pragma once

#include "cli/command.h"
#include "cli/context.h"

namespace godwit::cli {

int check_pid(Context& context, const Parsed& parsed);
int checkpoint_pid(Context& context, const Parsed& parsed);
int restore_directory(Context& context, const Parsed& parsed);

}  // namespace godwit::cli
