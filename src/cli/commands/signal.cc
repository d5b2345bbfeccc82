#include <fmt/format.h>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(const int number, signal_number(parsed.argument(1)));
  OR_REPORT(auto* controller, context.controller());
  wire::SignalRequest request;
  request.set_unit(parsed.argument(0));
  request.set_signal(number);
  wire::Empty reply;
  grpc::ClientContext call;
  if (const auto status = controller->Signal(&call, request, &reply); !status.ok()) return context.report(status);
  if (context.json) context.print(object_json({{"unit", parsed.argument(0)}, {"signal", std::to_string(number)}}));
  return kDone;
}

}  // namespace

const Command kSignal = {
    .name = "signal",
    .group = "units",
    .summary = "send a signal to a unit's program",
    .arguments = {{"UNIT", "its name or id", Words::kUnit}, {"SIGNAL", "TERM, SIGUSR1, 15 …", Words::kSignal}},
    .details =
        "The signal goes to the first program of the unit, wherever it is. A unit that is frozen "
        "for a move gets it afterwards, where it runs then.",
    .examples = "  godwit signal sim USR1",
    .json = true,
    .run = run};

}  // namespace godwit::cli
