#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(auto* controller, context.controller());
  wire::UnitRequest request;
  request.set_unit(parsed.argument(0));
  wire::UnitReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Kill(&call, request, &reply); !status.ok()) return context.report(status);
  if (context.json) context.print(unit_json(reply.unit()));
  return kDone;
}

}  // namespace

const Command kKill = {
    .name = "kill",
    .group = "units",
    .summary = "end a unit at once, with all its processes",
    .arguments = {{"UNIT", "its name or id", Words::kUnit}},
    .details =
        "SIGKILL to every process of the unit; returns when its end was reported. Its output and its "
        "checkpoints are kept. To ask it politely: godwit signal UNIT TERM.",
    .examples = "  godwit kill sim",
    .json = true,
    .run = run};

}  // namespace godwit::cli
