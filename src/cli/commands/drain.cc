#include <fmt/format.h>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

std::string text(const std::string& node, const std::vector<Drained>& units) {
  std::string out;
  for (const auto& u : units)
    if (u.moved)
      out += fmt::format("{} → {}: down {:.1f} ms, in all {:.1f} ms\n", u.unit, u.to, u.report.downtime_ms(),
                         u.report.total_ms());
  for (const auto& u : units) {
    if (u.moved) continue;
    out += fmt::format("{} stays: {}\n", u.unit, u.failure.text());
    for (const auto& b : u.failure.blockers())
      out += fmt::format("  {}: {} [{}]\n      → {}\n", b.object(), b.reason(), b.code(), b.lift());
  }
  return out + fmt::format("{} takes no units until: godwit uncordon {}\n", node, node);
}

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(const auto options, move_options(parsed));
  OR_REPORT(auto* controller, context.controller());
  wire::DrainRequest request;
  request.set_node(parsed.argument(0));
  *request.mutable_options() = options;
  grpc::ClientContext call;
  ProgressBar bar(parsed.argument(0));
  std::vector<Drained> units;
  const auto stream = controller->Drain(&call, request);
  wire::DrainEvent event;
  while (stream->Read(&event)) {
    if (event.has_progress()) {
      bar.retitle(event.unit());
      bar.show(event.progress());
    }
    if (event.has_moved()) units.push_back({event.unit(), event.to(), true, event.moved(), {}});
    if (event.has_failed()) units.push_back({event.unit(), event.to(), false, {}, event.failed()});
  }
  bar.clear();
  if (const auto status = stream->Finish(); !status.ok()) return context.report(status);
  context.print(context.json ? drain_json(parsed.argument(0), units) : text(parsed.argument(0), units));
  int worst = kDone;
  for (const auto& u : units)
    if (!u.moved) worst = std::max(worst, exit_status(code_of(u.failure.code())));
  return worst;
}

}  // namespace

const Command kDrain = {
    .name = "drain",
    .group = "nodes",
    .summary = "move every unit away from a node",
    .arguments = {{"NODE", "its name", Words::kNode}},
    .options = move_option_rows({}),
    .details =
        "The node takes no new units from now on; those it has are moved to where the grid's "
        "policy wants them (min-min-m while that is off), one after the other. What it leaves alone, as "
        "it is pinned, goes to the least loaded node. One that can't be moved stays, and is named with every "
        "reason; the others go on (status 3 or 4 then).",
    .examples = "  godwit drain node-2\n  godwit uncordon node-2",
    .json = true,
    .run = run};

}  // namespace godwit::cli
