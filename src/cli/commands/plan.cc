#include "cli/command.h"
#include "cli/context.h"
#include "cli/present_sched.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(auto* scheduling, context.scheduling());
  wire::PlanRequest request;
  request.set_event(parsed.get("--event"));
  request.set_policy(parsed.get("--policy"));
  for (const auto& s : parsed.all("--set")) request.add_settings(s);
  wire::PlanReply reply;
  grpc::ClientContext call;
  if (const auto status = scheduling->Plan(&call, request, &reply); !status.ok()) return context.report(status);
  context.print(context.json ? plan_json(reply) : plan_text(reply, parsed.has("--why")));
  return kDone;
}

}  // namespace

const Command kPlan = {.name = "plan",
                       .group = "rescheduling",
                       .summary = "what would be moved now, and why; nothing is",
                       .options = {{"--event", "", "EVENT",
                                    "as if it had happened: load, join:NODE, leave:NODE, drain:NODE, vanish:NODE, "
                                    "slow:NODE, pressure:NODE, spot:NODE"},
                                   {"--policy", "-p", "NAME", "the policy that decides; the grid's when left out"},
                                   {"--set", "", "KEY=VALUE", "a setting, for this plan only", Words::kNone, true},
                                   {"--why", "", "", "with the matrix of expected times and each move's reason"}},
                       .details =
                           "Lets a policy decide on the grid as it is, and prints its moves with what they are "
                           "expected to gain; nothing is "
                           "moved. With --why also how far each unit is and how that is known (said by the program, "
                           "its position in its input, "
                           "learned from earlier runs, unknown), and how long it would need alone on each node.",
                       .examples =
                           "  godwit plan --why\n"
                           "  godwit plan --event leave:node-2 --policy ga-l",
                       .json = true,
                       .run = run};

}  // namespace godwit::cli
