// The commands that act on this machine's processes without any daemon: `check PID`, `checkpoint --pid`, `restore DIR`; and on its
// portable programs: `checkpoint --pid`, `restore FILE`.
#pragma once

#include <sys/types.h>

#include <string>

#include "cli/command.h"
#include "cli/context.h"
#include "sealing/sealing.h"

namespace godwit::cli {

int check_pid(Context& context, const Parsed& parsed);
int checkpoint_pid(Context& context, const Parsed& parsed);
/// A program that `godwit cc` made: its checkpoint is one file that can be started on each of its architectures.
int checkpoint_portable(Context& context, const Parsed& parsed, pid_t pid);
int restore_portable(Context& context, const Parsed& parsed);
/// Is it such a file, or a program that could become one?
bool is_portable_file(const std::string& path);
int restore_directory(Context& context, const Parsed& parsed);

/// Whether the file is encrypted.
bool is_sealed_file(const Fd& file);
/// Whether what is in it is of checkpoint_pid(), and not a unit's.
Result<bool> is_sealed_tree(const Fd& file, const sealing::SealKey& key);
int restore_sealed(Context& context, const Parsed& parsed, const Fd& file, const sealing::SealKey& key);

}  // namespace godwit::cli
