// One log for each process: spdlog underneath, `key=value` after the message, one line an event.
//
//     log::info("unit started unit={} pid={}", id, pid);
//
// Before main() sets it up it writes warnings to standard error. Not for use after fork() in a child that shares memory
// with frozen threads, nor in a signal handler.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace godwit::log {

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

struct Options {
  std::string program;  ///< shown in each line
  std::string file;  ///< empty: standard error
  std::string level = "info";  ///< trace, debug, info, warn, error
};
/// Sets up the process's log; call once, from main().
void set_up(const Options& options);

}  // namespace godwit::log
