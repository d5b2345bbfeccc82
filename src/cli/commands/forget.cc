#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/parse.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

std::string text(const wire::ForgetReply& reply, const std::string& unit) {
  std::string out;
  for (const auto& c : reply.forgotten()) out += fmt::format("{}@{} is forgotten\n", unit, c.number());
  for (const auto& c : reply.left())
    out += fmt::format("{}@{} stays: {} has a copy and doesn't answer; try again when it is back\n", unit, c.number(),
                       fmt::join(c.nodes(), ", "));
  return out.empty() ? "nothing to forget\n" : out;
}

int run(Context& context, const Parsed& parsed) {
  wire::ForgetRequest request;
  OR_REPORT(const long keep, number(parsed, "--keep", 1, 1'000'000, 0));
  request.set_keep(static_cast<uint32_t>(keep));
  OR_REPORT(const auto first, checkpoint_name(parsed.argument(0)));
  request.set_unit(first.unit);
  for (const auto& word : parsed.arguments) {
    OR_REPORT(const auto what, checkpoint_name(word));
    if (what.unit != first.unit) return context.report(Error{Code::kUsage, 0, "checkpoints of one unit at a time"});
    if ((what.number == 0) != (keep > 0))
      return context.report(Error{Code::kUsage, 0, "godwit forget wants UNIT@N…, or UNIT --keep N"});
    if (what.number > 0) request.add_numbers(what.number);
  }
  OR_REPORT(auto* controller, context.controller());
  grpc::ClientContext call;
  wire::ForgetReply reply;
  if (const auto status = controller->Forget(&call, request, &reply); !status.ok()) return context.report(status);
  context.print(context.json ? forget_json(reply, first.unit) : text(reply, first.unit));
  return reply.left().empty() ? kDone : kFailedStatus;
}

}  // namespace

const Command kForget = {
    .name = "forget",
    .group = "moving",
    .summary = "remove checkpoints from a unit's history",
    .arguments = {{"UNIT@N", "checkpoints; or the unit, with --keep", Words::kUnit, false, false, true}},
    .options = {{"--keep", "-k", "N", "all but the newest N"}},
    .details =
        "Every node that holds a copy removes it; what other checkpoints share with it stays. The "
        "newest checkpoint of a unit that has not ended is never removed.",
    .examples = "  godwit forget sim@1 sim@2\n  godwit forget sim --keep 5",
    .json = true,
    .run = run};

}  // namespace godwit::cli
