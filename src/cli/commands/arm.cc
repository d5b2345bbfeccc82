#include "cli/command.h"
#include "cli/context.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(auto* controller, context.controller());
  wire::ArmRequest request;
  request.set_spec(parsed.argument(0));
  request.set_node(parsed.get("--node"));
  wire::Empty reply;
  grpc::ClientContext call;
  return context.report(controller->Arm(&call, request, &reply));
}

}  // namespace

const Command kArm = {
    .name = "arm",
    .group = "",
    .summary = "arm fault points in a running daemon, for tests",
    .arguments = {{"SPEC", "as in GODWIT_FAULT; empty disarms all"}},
    .options = {{"--node", "", "NODE", "of this node; of the controller when left out", Words::kNode}},
    .details = "See src/base/fault.h.",
    .examples = "  godwit arm controller.commit:kill",
    .run = run};

}  // namespace godwit::cli
