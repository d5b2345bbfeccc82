// The commands that act on this machine's processes without any daemon: `check PID`, `checkpoint --pid`, `restore DIR`; and on its
// portable programs: `checkpoint --pid`, `restore FILE`.
#pragma once

#include <sys/types.h>

#include <string>

#include "cli/command.h"
#include "cli/context.h"

namespace godwit::cli {

int check_pid(Context& context, const Parsed& parsed);
int checkpoint_pid(Context& context, const Parsed& parsed);
/// A program that `godwit cc` made: its checkpoint is one file that can be started on each of its architectures.
int checkpoint_portable(Context& context, const Parsed& parsed, pid_t pid);
int restore_portable(Context& context, const Parsed& parsed);
/// Is it such a file, or a program that could become one?
bool is_portable_file(const std::string& path);
int restore_directory(Context& context, const Parsed& parsed);

}  // namespace godwit::cli
