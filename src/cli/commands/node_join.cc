#include "base/log.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "node/node.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  for (const char* option : {"--token", "--controller"})
    if (!parsed.has(option))
      return context.report(Error{Code::kUsage, 0, std::string("godwit node join needs ") + option});
  node::JoinOptions options;
  options.token = parsed.get("--token");
  options.controller = parsed.get("--controller");
  options.name = parsed.get("--name");
  options.state_dir = context.state_dir;
  options.listen = parsed.get("--listen");
  options.data_listen = parsed.get("--data");
  options.advertise = parsed.get("--advertise");
  options.root = parsed.get("--root");
  options.arch = parsed.get("--arch");
  if (parsed.has("--notice-file")) {
    OR_REPORT(options.notice_file, absolute_path(parsed.get("--notice-file")));
  }
  OR_REPORT(const node::Options joined, node::join(options));
  if (parsed.has("--only-join")) return kDone;
  log::set_up({.program = "godwit node"});
  return node::run(joined);
}

}  // namespace

const Command kNodeJoin = {
    .name = "node join",
    .group = "daemons",
    .summary = "make this machine a node of a grid, and serve",
    .options = {{"--token", "", "TOKEN", "from godwit token create"},
                {"--controller", "", "HOST:PORT", "the grid's controller"},
                {"--name", "-n", "NAME", "this node's name; the host's when left out"},
                {"--listen", "", "HOST:PORT", "where the controller reaches it; 0.0.0.0:7411 when left out"},
                {"--data", "", "HOST:PORT", "where moves come in; 0.0.0.0:7412 when left out"},
                {"--advertise", "", "HOST", "what others call this machine"},
                {"--root", "", "DIR", "the root file system of its units", Words::kDirectory},
                {"--arch", "", "ARCH", "its units are portable programs, and run as on this architecture (qemu-user)"},
                {"--notice-file", "", "FILE", "when it appears, the machine goes in as many seconds as it says",
                 Words::kFile},
                {"--only-join", "", "", "get the certificate and stop; start it later with godwit node"}},
    .details =
        "The private key is made here and never leaves this machine. The token names the grid's authority, so that "
        "nobody else can pass for it.",
    .examples = "  godwit node join --token TOKEN --controller grid.example.org:7400 --name node-9",
    .run = run};

}  // namespace godwit::cli
