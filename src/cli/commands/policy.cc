#include "cli/command.h"
#include "cli/context.h"
#include "cli/present_sched.h"

namespace godwit::cli {
namespace {

int ask(Context& context, const wire::PolicyRequest& request) {
  OR_REPORT(auto* scheduling, context.scheduling());
  wire::PolicyReply reply;
  grpc::ClientContext call;
  if (const auto status = scheduling->Policy(&call, request, &reply); !status.ok()) return context.report(status);
  context.print(context.json ? policy_json(reply) : policy_text(reply));
  return kDone;
}

int run_policy(Context& context, const Parsed&) { return ask(context, {}); }

int run_set(Context& context, const Parsed& parsed) {
  wire::PolicyRequest request;
  // Settings alone change those of the policy that there is.
  const bool named = parsed.argument(0).find('=') == std::string::npos;
  if (named) request.set_name(parsed.argument(0));
  for (size_t i = named ? 1 : 0; i < parsed.arguments.size(); ++i) request.add_settings(parsed.argument(i));
  return ask(context, request);
}

}  // namespace

const Command kPolicy = {
    .name = "policy",
    .group = "rescheduling",
    .summary = "how units are rescheduled, and how they could be",
    .details =
        "Prints whether units are moved by themselves, by which policy and with which settings, and "
        "all policies there are. Where each comes from: --json, or docs/design/sched.md.",
    .examples = "  godwit policy\n  godwit policy --json | jq .settings",
    .json = true,
    .run = run_policy};

const Command kPolicySet = {
    .name = "policy set",
    .group = "rescheduling",
    .summary = "let a policy move units when nodes come, go or are busy; or none",
    .arguments = {{"NAME", "the policy, or off; with a setting in its place the policy stays"},
                  {"KEY=VALUE", "settings", Words::kNone, true, false, true}},
    .details =
        "From now on the controller decides whenever a node joins, vanishes or runs short of memory, and every half "
        "minute (look_s), "
        "and moves units as the policy says: a few at a time, never one that is pinned (godwit run --pin), to a node "
        "that it "
        "avoids, or that was moved a moment ago; and only when a move gains enough (min_gain, min_gain_s).\n\n"
        "-s, -m or -l behind a name charges each move no, a moderate or a large penalty. What a policy would do now: "
        "godwit "
        "plan. What it would do elsewhere: godwit sim.",
    .examples =
        "  godwit policy set min-min-m\n"
        "  godwit policy set tabu extension=none min_gain=0.1 max_moves=4\n"
        "  godwit policy set min_gain=0.2\n"
        "  godwit policy set off",
    .json = true,
    .run = run_set};

}  // namespace godwit::cli
