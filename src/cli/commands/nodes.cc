#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed&) {
  OR_REPORT(auto* controller, context.controller());
  wire::NodesReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Nodes(&call, {}, &reply); !status.ok()) return context.report(status);
  context.print(context.json ? nodes_json(reply.nodes()) : nodes_table(reply.nodes()));
  return kDone;
}

}  // namespace

const Command kNodes = {.name = "nodes",
                        .group = "nodes",
                        .summary = "list the nodes, their load and units",
                        .details =
                            "States: ready; drained (takes no units until godwit uncordon); gone (not heard of for "
                            "five seconds).",
                        .examples = "  godwit nodes\n  godwit nodes --json",
                        .json = true,
                        .run = run};

}  // namespace godwit::cli
