#include <algorithm>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/local.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

bool is_pid(const std::string& word) {
  return !word.empty() && word.size() <= 9 && std::ranges::all_of(word, [](char c) { return c >= '0' && c <= '9'; });
}

int of_unit(Context& context, const Parsed& parsed) {
  OR_REPORT(const auto tcp, tcp_policy(parsed));
  OR_REPORT(auto* controller, context.controller());
  wire::CheckRequest request;
  request.set_unit(parsed.argument(0));
  request.set_to(parsed.get("--to"));
  request.set_tcp(tcp);
  wire::CheckReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Check(&call, request, &reply); !status.ok()) return context.report(status);
  context.print(context.json ? check_json(reply) : check_text(reply, parsed.argument(0), parsed.get("--to")));
  return reply.blockers().empty() ? kDone : kRefusedStatus;
}

int run(Context& context, const Parsed& parsed) {
  // All digits is a process, unless it can only be the beginning of a unit's id.
  if (is_pid(parsed.argument(0)) && !parsed.has("--unit")) return check_pid(context, parsed);
  return of_unit(context, parsed);
}

}  // namespace

const Command kCheck = {
    .name = "check",
    .group = "moving",
    .summary = "everything that stands against moving a unit or a process",
    .arguments = {{"UNIT|PID", "a unit, or a process of this machine", Words::kUnit}},
    .options = {{"--to", "", "NODE", "and everything that this node lacks", Words::kNode},
                {"--unit", "", "", "the argument is a unit's id, though it is all digits"},
                {"--tcp", "", "POLICY", "with established TCP connections refused or closed", Words::kTcp}},
    .details =
        "Lists every reason that forbids the move, with what would lift it, and everything that a destination must "
        "have. Nothing is touched: the program doesn't notice. Status 0: it can be moved; 3: it can't. A process id "
        "needs no grid.",
    .examples = "  godwit check sim --to node-2\n  godwit check 4711 --json",
    .json = true,
    .run = run};

}  // namespace godwit::cli
