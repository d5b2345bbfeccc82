#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(auto* controller, context.controller());
  wire::NodeRequest request;
  request.set_node(parsed.argument(0));
  wire::Empty reply;
  grpc::ClientContext call;
  if (const auto status = controller->Uncordon(&call, request, &reply); !status.ok()) return context.report(status);
  if (context.json) context.print(object_json({{"node", parsed.argument(0)}, {"state", "ready"}}));
  return kDone;
}

}  // namespace

const Command kUncordon = {.name = "uncordon",
                           .group = "nodes",
                           .summary = "let a drained node take units again",
                           .arguments = {{"NODE", "its name", Words::kNode}},
                           .details = "Undoes godwit drain. Units that were moved away stay where they are.",
                           .examples = "  godwit uncordon node-2",
                           .json = true,
                           .run = run};

}  // namespace godwit::cli
