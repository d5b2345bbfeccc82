#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(auto* controller, context.controller());
  wire::UnitRequest request;
  request.set_unit(parsed.argument(0));
  wire::HistoryReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->History(&call, request, &reply); !status.ok()) return context.report(status);
  context.print(context.json ? history_json(reply, parsed.argument(0)) : history_table(reply, parsed.argument(0)));
  return kDone;
}

}  // namespace

const Command kHistory = {.name = "history",
                          .group = "moving",
                          .summary = "list the checkpoints of a unit",
                          .arguments = {{"UNIT", "its name or id", Words::kUnit}},
                          .details =
                              "Each can be gone back to: godwit restore UNIT@NUMBER. A checkpoint holds only what "
                              "changed since the one before (column NEW).",
                          .examples = "  godwit history sim\n  godwit restore sim@3 --branch",
                          .json = true,
                          .run = run};

}  // namespace godwit::cli
