#include <fmt/format.h>

#include "cli/command.h"
#include "cli/context.h"
#include "cli/parse.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(const long seconds, number(parsed, "--timeout", 1, 4'000'000, 0));
  OR_REPORT(auto* controller, context.controller());
  wire::WaitRequest request;
  request.set_unit(parsed.argument(0));
  request.set_timeout_ms(static_cast<uint32_t>(seconds * 1000));
  wire::UnitReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Wait(&call, request, &reply); !status.ok()) return context.report(status);
  const wire::Unit& unit = reply.unit();
  if (unit.state() != wire::EXITED)
    return context.report(Error{Code::kFailed, 0,
                                fmt::format("{} still {} after {} s", unit.spec().name(),
                                            unit.state() == wire::LOST ? "is lost" : "runs", seconds)});
  context.print(context.json ? unit_json(unit) : exit_text(unit.exit()) + "\n");
  return exit_status(unit.exit());
}

}  // namespace

const Command kWait = {.name = "wait",
                       .group = "units",
                       .summary = "wait until a unit has ended",
                       .arguments = {{"UNIT", "its name or id", Words::kUnit}},
                       .options = {{"--timeout", "", "SECONDS", "give up after that (status 4)"}},
                       .details =
                           "Waits across moves and restores, and says how the program ended: status 0 when it ended "
                           "with 0, else 1. The program's own status is in the output and in --json.",
                       .examples = "  godwit wait sim && echo it worked",
                       .json = true,
                       .run = run};

}  // namespace godwit::cli
