// What goes wrong on real machines, for tests of an embedded grid. Not in the help: it breaks things on purpose.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"
#include "node/grid.h"

namespace godwit::cli {
namespace {

Result<void> act(const std::string& state, const Parsed& parsed) {
  const std::string verb = parsed.argument(0);
  const std::string who = parsed.argument(1);
  if (verb == "kill") return node::grid_kill(state, who);
  if (verb == "start") return node::grid_start(state, who, parsed.get("--fault"));
  if (verb == "crash") return node::grid_crash(state, who);
  if (verb == "boot") return node::grid_boot(state, who, parsed.get("--fault"));
  if (verb == "cut") return node::grid_link(state, who, false);
  if (verb == "mend") return node::grid_link(state, who, true);
  return fail(Code::kUsage, fmt::format("no \"{}\"; there is kill, start, crash, boot, cut, mend, members", verb));
}

int run(Context& context, const Parsed& parsed) {
  if (parsed.argument(0) == "members") {
    OR_REPORT(const auto members, node::grid_members(context.state_dir));
    std::vector<std::vector<std::string>> rows = {{"NAME", "HOLDER", "DAEMON", "ADDRESS"}};
    for (const auto& m : members)
      rows.push_back({m.name, std::to_string(m.holder_pid), std::to_string(m.daemon_pid), m.address});
    context.print(table(rows));
    return kDone;
  }
  const auto done = act(context.state_dir, parsed);
  return done ? kDone : context.report(done.error());
}

}  // namespace

const Command kGrid = {.name = "grid",
                       .group = "",
                       .summary = "break a part of an embedded grid, for tests",
                       .arguments = {{"VERB", "kill, start, crash, boot, cut, mend, members"},
                                     {"NAME", "controller or a node", Words::kNode, true}},
                       .options = {{"--fault", "", "SPEC", "fault points to arm in the daemon that is started"}},
                       .details =
                           "kill: SIGKILL to the daemon, its units live on. start: again. crash: the machine dies with "
                           "all its units. boot: it comes back. cut and mend: its link.",
                       .examples = "  godwit grid kill node-1\n  godwit grid start node-1",
                       .run = run};

}  // namespace godwit::cli
