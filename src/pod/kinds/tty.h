// Pseudo-terminals: tty.cc dumps, tty_restore.cc restores, pty_buffer.cc moves what they hold.
#pragma once

#include <string>

#include "pod/kinds.h"

namespace godwit::pod {

constexpr unsigned kAuxMajor = 5;          // minor 0: /dev/tty, 1: /dev/console, 2: /dev/ptmx
constexpr unsigned kPtySlaveMajor = 136;   // to 143, 256 terminals each
constexpr unsigned kPtySlaveMajors = 8;

Result<void> restore_terminals(RestoreContext& ctx, const std::string& section);
Result<void> connect_terminals(RestoreContext& ctx, const std::string& section);
Result<Fd> restore_pty_master(RestoreContext& ctx, const pb::OpenFile& file);
Result<Fd> restore_pty_slave(RestoreContext& ctx, const pb::OpenFile& file);

}  // namespace godwit::pod
