#include <fmt/format.h>

#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"
#include "node/notice.h"

namespace godwit::cli {
namespace {

std::string text(const wire::LeaveReply& reply, double seconds) {
  std::string out =
      fmt::format("{} leaves in {:.0f} s; units on it: {}\n", reply.node().name(), seconds, reply.units_size());
  for (const auto& u : reply.units())
    if (u.spec().pinned())
      out += fmt::format("  {} is pinned and stays; take it away with: godwit move {} --to NODE\n", u.spec().name(),
                         u.spec().name());
  return out + fmt::format("it takes no units until: godwit uncordon {}\n", reply.node().name());
}

int run(Context& context, const Parsed& parsed) {
  wire::LeaveRequest request;
  request.set_node(parsed.argument(0));
  if (parsed.has("--in")) {
    const auto seconds = node::parse_notice(parsed.get("--in"));
    if (!seconds)
      return context.report(
          Error{Code::kUsage, 0, fmt::format("--in is a time like 90s, 2m or 1h, not \"{}\"", parsed.get("--in"))});
    request.set_seconds(*seconds);
  }
  OR_REPORT(auto* controller, context.controller());
  wire::LeaveReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Leave(&call, request, &reply); !status.ok()) return context.report(status);
  context.print(context.json ? object_json({{"node", reply.node().name()}, {"state", "leaving"}})
                             : text(reply, request.seconds()));
  return kDone;
}

}  // namespace

const Command kNodeLeave = {
    .name = "node leave",
    .group = "nodes",
    .summary = "say that a node will go: its units are moved away",
    .arguments = {{"NODE", "its name", Words::kNode}},
    .options = {{"--in", "", "TIME", "how long it will still be there: 90s, 2m, 1h; not at all when left out"}},
    .details =
        "The node takes no new units from now on. Its units are moved to where the grid's policy wants them "
        "(min-min-m while that is off), before all other moves and several at a time, and one that couldn't be moved "
        "is tried again until the node is gone. The command returns at once; see godwit nodes. Units that are pinned "
        "stay, which it says.\n\n"
        "A machine can say so itself: godwit node --notice-file.",
    .examples = "  godwit node leave node-2 --in 2m\n  godwit uncordon node-2",
    .json = true,
    .run = run};

}  // namespace godwit::cli
