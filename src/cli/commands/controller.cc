#include "controller/controller.h"

#include <algorithm>
#include <string>

#include "base/log.h"
#include "cli/command.h"
#include "cli/context.h"
#include "node/node.h"

namespace godwit::cli {
namespace {

/// Where machines join when nothing is said: the port after the one that nodes use (node::join looks there).
std::string join_address(const std::string& listen) {
  const std::string first = listen.substr(0, listen.find(','));
  const size_t colon = first.rfind(':');
  if (first.starts_with("unix:") || colon == std::string::npos) return {};
  const std::string digits = first.substr(colon + 1);
  const bool number =
      !digits.empty() && digits.size() <= 5 && std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  if (!number || std::stoi(digits) == 0) return {};
  return first.substr(0, colon + 1) + std::to_string(std::stoi(digits) + node::kJoinPortOffset);
}

int run(Context& context, const Parsed& parsed) {
  log::set_up({.program = "godwit controller",
               .file = parsed.get("--log"),
               .level = parsed.has("--verbose") ? "debug" : "info"});
  controller::Options options;
  options.state_dir = context.state_dir;
  options.identity_dir = parsed.get("--identity");
  options.listen = parsed.has("--listen") ? parsed.get("--listen") : "0.0.0.0:7400";
  options.join_listen = parsed.has("--join") ? parsed.get("--join") : join_address(options.listen);
  if (options.join_listen == "none") options.join_listen.clear();
  options.ready_file = parsed.get("--ready");
  options.insecure = parsed.has("--insecure");
  return controller::run(options);
}

}  // namespace

const Command kController = {
    .name = "controller",
    .group = "daemons",
    .summary = "the daemon that decides: units, nodes, moves, history",
    .options = {{"--listen", "", "ADDRESS", "HOST:PORT or unix:PATH, several with commas; 0.0.0.0:7400 when left out"},
                {"--join", "", "HOST:PORT",
                 "where machines without a certificate may join, or none; the port after --listen's when left out"},
                {"--identity", "", "DIR", "holds ca.crt, controller.crt and .key, ca.key; --state when left out",
                 Words::kDirectory},
                {"--ready", "", "FILE", "written when it serves", Words::kFile},
                {"--log", "", "FILE", "where its log goes; standard error when left out", Words::kFile},
                {"--verbose", "-v", "", "log more"},
                {"--insecure", "", "", "no certificates: for tests on one machine"}},
    .details =
        "Its whole state is one file, controller.db. Killed at any moment and started again it goes on where it was: "
        "moves in progress are taken up again. godwit up starts one.",
    .examples = "  godwit controller --state /var/lib/godwit/controller --listen 10.0.0.1:7400",
    .run = run};

}  // namespace godwit::cli
