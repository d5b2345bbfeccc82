#include "cli/common.h"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/io.h"
#include "cli/parse.h"

namespace godwit::cli {

Result<std::string> read_named_file(const std::string& path, size_t limit) {
  auto text = io::read_file(path, limit);
  if (!text && text.error().errnum == ENOENT) return fail(Code::kUsage, path + ": no such file");
  return text;
}

Result<std::string> absolute_path(const std::string& path) {
  if (path.starts_with('/')) return path;
  TRY(const std::string here, real_path("."));
  return here + "/" + path;
}

Result<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), ::free);
  if (!real) return fail(Code::kUsage, fmt::format("{}: {}", path, ::strerror(errno)));
  return std::string(real.get());
}

Result<wire::TcpPolicy> tcp_policy(const Parsed& parsed) {
  const std::string word = parsed.get("--tcp");
  if (word.empty() || word == "refuse") return wire::TCP_REFUSE;
  if (word == "close") return wire::TCP_CLOSE;
  return fail(Code::kUsage, fmt::format("--tcp is refuse or close, not \"{}\"", word));
}

std::vector<Option> move_option_rows(std::vector<Option> more) {
  const std::vector<Option> common = {
      {"--stop", "", "", "stop, copy, go on: no rounds of memory while it runs"},
      {"--lazy", "", "", "go on at the destination at once; memory follows when it is touched"},
      {"--streams", "", "N", "connections for memory; chosen by the system when left out"},
      {"--zstd", "", "LEVEL", "compress always at this level; -1: never; when it pays when left out"},
      {"--rounds", "", "N", "rounds of memory at most"},
      {"--downtime", "", "MS", "the downtime to aim at, in milliseconds"},
      {"--tcp", "", "POLICY", "established TCP connections: refuse (the default) or close", Words::kTcp},
      {"--engine", "", "ENGINE", "pod or portable; chosen by what both nodes are when left out", Words::kEngine}};
  more.insert(more.end(), common.begin(), common.end());
  return more;
}

Result<wire::MoveOptions> move_options(const Parsed& parsed) {
  wire::MoveOptions options;
  if (parsed.has("--stop") && parsed.has("--lazy")) return fail(Code::kUsage, "--stop and --lazy exclude each other");
  if (parsed.has("--stop")) options.set_mode(wire::STOP);
  if (parsed.has("--lazy")) options.set_mode(wire::LAZY);
  TRY(const long streams, number(parsed, "--streams", 1, 16, 0));
  TRY(const long zstd, number(parsed, "--zstd", -1, 19, 0));
  TRY(const long rounds, number(parsed, "--rounds", 1, 1000, 0));
  TRY(const long downtime, number(parsed, "--downtime", 1, 3'600'000, 0));
  TRY(const auto tcp, tcp_policy(parsed));
  options.set_streams(static_cast<uint32_t>(streams));
  options.set_zstd_level(static_cast<int32_t>(zstd));
  options.set_max_rounds(static_cast<uint32_t>(rounds));
  options.set_downtime_goal_ms(static_cast<uint32_t>(downtime));
  options.set_tcp(tcp);
  const std::string engine = parsed.get("--engine");
  if (engine == "pod")
    options.set_grain(wire::POD);
  else if (engine == "portable")
    options.set_grain(wire::PORTABLE);
  else if (!engine.empty())
    return fail(Code::kUsage, fmt::format("--engine is pod or portable, not \"{}\"", engine));
  return options;
}

Result<CheckpointName> checkpoint_name(const std::string& word) {
  const size_t at = word.rfind('@');
  if (at == std::string::npos) return CheckpointName{word, 0};
  const std::string digits = word.substr(at + 1);
  const bool good =
      !digits.empty() && digits.size() <= 9 && std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  if (!good || at == 0 || std::stoul(digits) == 0)
    return fail(Code::kUsage, fmt::format("\"{}\" is no checkpoint; write UNIT@NUMBER (godwit history UNIT)", word));
  return CheckpointName{word.substr(0, at), static_cast<uint32_t>(std::stoul(digits))};
}

Result<int> signal_number(const std::string& word) {
  std::string name = word;
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(::toupper(c)); });
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (int n = 1; n < NSIG; ++n) {
    const char* abbreviation = ::sigabbrev_np(n);
    if (word == std::to_string(n) || (abbreviation && name == abbreviation)) return n;
  }
  return fail(Code::kUsage, fmt::format("no signal \"{}\"; write a name (TERM, USR1) or a number", word));
}

}  // namespace godwit::cli
