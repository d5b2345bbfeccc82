#include "node/node.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/parse.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  log::set_up(
      {.program = "godwit node", .file = parsed.get("--log"), .level = parsed.has("--verbose") ? "debug" : "info"});
  node::Options options;
  if (!parsed.has("--controller")) {
    OR_REPORT(options, node::load_options(context.state_dir));
  } else {
    OR_REPORT(const long pid, number(parsed, "--outer-pid", 0, 1L << 30, 0));
    options.state_dir = context.state_dir;
    options.name = parsed.get("--name");
    options.controller = parsed.get("--controller");
    options.grid = parsed.get("--grid");
    options.listen = parsed.get("--listen");
    options.data_listen = parsed.get("--data");
    options.advertise = parsed.get("--advertise");
    options.root = parsed.get("--root");
    options.arch = parsed.get("--arch");
    options.outer_pid = static_cast<int>(pid);
    options.insecure = parsed.has("--insecure");
  }
  if (parsed.has("--notice-file")) {
    OR_REPORT(options.notice_file, absolute_path(parsed.get("--notice-file")));
  }
  options.ready_file = parsed.get("--ready");
  return node::run(options);
}

}  // namespace

const Command kNode = {
    .name = "node",
    .group = "daemons",
    .summary = "the daemon of one machine",
    .options = {{"--controller", "", "HOST:PORT", "the grid's controller; what godwit node join wrote when left out"},
                {"--grid", "", "SITE", "the site whose grid that is, when it is another's than this node's"},
                {"--name", "-n", "NAME", "this node's name; the one in its certificate when left out"},
                {"--listen", "", "HOST:PORT", "where the controller reaches it; 0.0.0.0:7411 when left out"},
                {"--data", "", "HOST:PORT", "where moves come in; 0.0.0.0:7412 when left out"},
                {"--advertise", "", "HOST", "what others call this machine"},
                {"--root", "", "DIR", "the root file system of its units", Words::kDirectory},
                {"--arch", "", "ARCH", "its units are portable programs, and run as on this architecture (qemu-user)"},
                {"--notice-file", "", "FILE", "when it appears, the machine goes in as many seconds as it says",
                 Words::kFile},
                {"--ready", "", "FILE", "written when it serves", Words::kFile},
                {"--log", "", "FILE", "where its log goes; standard error when left out", Words::kFile},
                {"--outer-pid", "", "PID", "what to report as its process id"},
                {"--verbose", "-v", "", "log more"},
                {"--insecure", "", "", "no certificates: for tests on one machine"}},
    .details =
        "Starts and keeps units, serves moves, reports its load. Killing it harms no unit: started again it finds "
        "them and takes up what was in progress.\n\n"
        "A machine that will be taken away (a spot instance, the end of a job) is told so by the file of "
        "--notice-file: "
        "\"120\", \"90s\" or \"2m\" from when it was written. The units are then moved away as by godwit node "
        "leave.\n\n"
        "A machine becomes a node with godwit node join. A site lends it to another site's grid by --controller and "
        "--grid; "
        "both sites must trust each other (godwit site trust), and it takes only units with a document.",
    .examples = "  godwit node --state /var/lib/godwit/node",
    .run = run};

}  // namespace godwit::cli
