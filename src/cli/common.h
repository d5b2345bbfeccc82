// Small things that several commands need.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "godwit/common.pb.h"

namespace godwit::cli {

/// The absolute path; the file needn't exist.
Result<std::string> absolute_path(const std::string& path);
/// A file that the caller named: that there is none is wrong usage, not a failure.
Result<std::string> read_named_file(const std::string& path, size_t limit);
/// The absolute path without links; the file must exist.
Result<std::string> real_path(const std::string& path);
/// --tcp refuse|close.
Result<wire::TcpPolicy> tcp_policy(const Parsed& parsed);
/// --lazy, --stop, --streams, --zstd, --tcp … (kMoveOptions).
Result<wire::MoveOptions> move_options(const Parsed& parsed);
std::vector<Option> move_option_rows(std::vector<Option> more);
/// "web@3" → ("web", 3); "web" → ("web", 0).
struct CheckpointName {
  std::string unit;
  uint32_t number = 0;
};
Result<CheckpointName> checkpoint_name(const std::string& word);
/// "TERM", "SIGTERM" or "15".
Result<int> signal_number(const std::string& word);

}  // namespace godwit::cli
