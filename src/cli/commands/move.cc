#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  if (!parsed.has("--to"))
    return context.report(Error{Code::kUsage, 0, "godwit move needs --to NODE (see: godwit nodes)"});
  OR_REPORT(const auto options, move_options(parsed));
  OR_REPORT(auto* controller, context.controller());
  wire::MoveRequest request;
  request.set_unit(parsed.argument(0));
  request.set_to(parsed.get("--to"));
  *request.mutable_options() = options;
  grpc::ClientContext call;
  ProgressBar bar(parsed.argument(0));
  const auto stream = controller->Move(&call, request);
  wire::MoveEvent event;
  wire::Report report;
  while (stream->Read(&event)) {
    if (event.has_progress()) bar.show(event.progress());
    if (event.has_report()) report = event.report();
  }
  bar.clear();
  if (const auto status = stream->Finish(); !status.ok()) return context.report(status);
  context.print(context.json ? report_json(report) : report_text(report));
  return kDone;
}

}  // namespace

const Command kMove = {
    .name = "move",
    .group = "moving",
    .summary = "move a running unit to another node",
    .arguments = {{"UNIT", "its name or id", Words::kUnit}},
    .options = move_option_rows({{"--to", "", "NODE", "where to", Words::kNode}}),
    .details =
        "Memory is copied while the program runs; it stands still only for the last of it. Then prints the timing "
        "breakdown.\n\nWhat forbids the move is found before anything is touched, and all of it is listed (status 3). "
        "Whatever goes wrong later, the unit runs on exactly one node: where it was, when the move failed (status 4). "
        "Interrupting this command doesn't interrupt the move. "
        "With --lazy the unit depends on both nodes until all its memory has arrived: if one of them or their link "
        "fails "
        "before that, the unit ends. Not for a program that forks while other threads move or unmap its memory, and "
        "whose "
        "children grow theirs with mremap(2): the kernel doesn't tell all of that.",
    .examples = "  godwit move sim --to node-2\n  godwit move sim --to node-3 --stop --json",
    .json = true,
    .run = run};

}  // namespace godwit::cli
