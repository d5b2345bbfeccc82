#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(auto* controller, context.controller());
  wire::PsRequest request;
  request.set_all(parsed.has("--all"));
  wire::PsReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Ps(&call, request, &reply); !status.ok()) return context.report(status);
  std::ranges::sort(*reply.mutable_units(), {}, [](const wire::Unit& u) { return u.created_ms(); });
  context.print(context.json ? units_json(reply.units()) : units_table(reply.units()));
  return kDone;
}

}  // namespace

const Command kPs = {.name = "ps",
                     .group = "units",
                     .summary = "list the units, and where each is",
                     .options = {{"--all", "-a", "", "with those that have ended"}},
                     .details =
                         "Lists the units that live, oldest first. States: starting, running, moving, lost (its node "
                         "doesn't answer), ended.",
                     .examples = "  godwit ps\n  godwit ps --all --json | jq '.[].name'",
                     .json = true,
                     .run = run};

}  // namespace godwit::cli
