#include "cli/command.h"
#include "cli/context.h"
#include "cli/parse.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(const long tail, number(parsed, "--tail", 1, 1'000'000'000, 0));
  OR_REPORT(auto* controller, context.controller());
  wire::LogsRequest request;
  request.set_unit(parsed.argument(0));
  request.set_follow(parsed.has("--follow"));
  request.set_tail_lines(tail);
  grpc::ClientContext call;
  const auto stream = controller->Logs(&call, request);
  wire::Data data;
  while (stream->Read(&data)) context.print(data.data());
  return context.report(stream->Finish());
}

}  // namespace

const Command kLogs = {.name = "logs",
                       .group = "units",
                       .summary = "what a unit wrote to its standard output and error",
                       .arguments = {{"UNIT", "its name or id", Words::kUnit}},
                       .options = {{"--follow", "-f", "", "go on until it ends, wherever it moves"},
                                   {"--tail", "-n", "LINES", "only the last so many lines"}},
                       .details =
                           "The output is part of the unit: it travels with it, and a restore takes it back to what it "
                           "was at the checkpoint. So no line is lost or doubled by a move. The bytes come as they "
                           "were written; there is no --json form.",
                       .examples = "  godwit logs sim\n  godwit logs -f sim",
                       .run = run};

}  // namespace godwit::cli
