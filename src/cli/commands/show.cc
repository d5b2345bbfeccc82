#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(auto* controller, context.controller());
  wire::UnitRequest request;
  request.set_unit(parsed.argument(0));
  wire::ShowReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Show(&call, request, &reply); !status.ok()) return context.report(status);
  context.print(context.json ? show_json(reply) : show_text(reply));
  return kDone;
}

}  // namespace

const Command kShow = {
    .name = "show",
    .group = "units",
    .summary = "all about one unit: its moves and checkpoints",
    .arguments = {{"UNIT", "its name, its id, or the beginning of its id", Words::kUnit}},
    .details = "Shows what the unit is, every move it made or that was rolled back, and its checkpoints.",
    .examples = "  godwit show sim\n  godwit show 3fa2 --json",
    .json = true,
    .run = run};

}  // namespace godwit::cli
