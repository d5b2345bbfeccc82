// Pseudo-terminals: tty.cc dumps, tty_restore.cc restores, pty_buffer.cc moves what they hold.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "pod/kinds.h"

namespace godwit::pod {

constexpr unsigned kAuxMajor = 5;          // minor 0: /dev/tty, 1: /dev/console, 2: /dev/ptmx
constexpr unsigned kPtySlaveMajor = 136;   // to 143, 256 terminals each
constexpr unsigned kPtySlaveMajors = 8;

/// The number N of /dev/pts/N from a device as /proc/PID/stat shows it (tty_nr); none for other terminals and for 0.
std::optional<uint32_t> pty_index(unsigned device);
/// Numbers of the terminals whose master one of these processes holds.
std::set<uint32_t> held_terminals(const Fd& proc, const std::vector<pid_t>& host_pids);
/// Makes terminal `index` the controlling one of this session leader, which has no children yet.
Result<void> give_terminal(RestoreContext& ctx, pid_t leader, uint32_t index);

Result<void> restore_terminals(RestoreContext& ctx, const std::string& section);
Result<void> connect_terminals(RestoreContext& ctx, const std::string& section);
Result<Fd> restore_pty_master(RestoreContext& ctx, const pb::OpenFile& file);
Result<Fd> restore_pty_slave(RestoreContext& ctx, const pb::OpenFile& file);

}  // namespace godwit::pod
