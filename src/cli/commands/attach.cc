#include <unistd.h>

#include "cli/command.h"
#include "cli/context.h"
#include "cli/session.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(auto* controller, context.controller());
  wire::UnitRequest request;
  request.set_unit(parsed.argument(0));
  wire::ShowReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Show(&call, request, &reply); !status.ok()) return context.report(status);
  const wire::Unit& unit = reply.unit();
  if (unit.state() != wire::EXITED && !unit.spec().interactive())
    return context.report(
        rpc::Failure{Error{Code::kRefused, 0, unit.spec().name() + " has no terminal and no input"},
                     {{"not-interactive", "unit " + unit.spec().name(), "it was started without -i or -t",
                       "follow its output with: godwit logs -f " + unit.spec().name()}}});
  return attach_session(context, unit.id(), unit.spec().tty() && ::isatty(STDIN_FILENO) == 1);
}

}  // namespace

const Command kAttach = {.name = "attach",
                         .group = "units",
                         .summary = "join this terminal to a unit that was started with -i or -t",
                         .arguments = {{"UNIT", "its name or id", Words::kUnit}},
                         .details =
                             "The connection follows the unit wherever it moves. The keys ctrl-p ctrl-q leave it "
                             "running. Ends with status 0 when the program ended with 0, else 1.",
                         .examples = "  godwit attach shell",
                         .run = run};

}  // namespace godwit::cli
