#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"
#include "cli/present_sched.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(auto* controller, context.controller());
  wire::NodesReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Nodes(&call, {}, &reply); !status.ok()) return context.report(status);
  if (parsed.has("--load")) {
    context.print(context.json ? load_json(reply.nodes()) : load_table(reply.nodes()));
    return kDone;
  }
  context.print(context.json ? nodes_json(reply.nodes()) : nodes_table(reply.nodes()));
  return kDone;
}

}  // namespace

const Command kNodes = {
    .name = "nodes",
    .group = "nodes",
    .summary = "list the nodes, their load and units",
    .options = {{"--load", "", "", "how busy each is, in place of what it is"}},
    .details =
        "States: ready; drained (takes no units until godwit uncordon); leaving (as drained, and its units are being "
        "moved away); gone (not heard of for "
        "five seconds).\n\n"
        "With --load: the speed of one CPU (1: an ordinary core of 2020), the CPUs that the node may "
        "use, those in use by whatever, and in how many percent of the last ten seconds something "
        "waited for a CPU, for memory, for I/O (the kernel's PSI).",
    .examples = "  godwit nodes\n  godwit nodes --load\n  godwit nodes --json",
    .json = true,
    .run = run};

}  // namespace godwit::cli
