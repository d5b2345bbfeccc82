#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"
#include "node/grid.h"

namespace godwit::cli {
namespace {

int run(Context& context, const Parsed& parsed) {
  const auto down = node::grid_down(context.state_dir, parsed.has("--purge"));
  if (!down) return context.report(down.error());
  if (context.json) context.print(object_json({{"state", "down"}}));
  return kDone;
}

}  // namespace

const Command kDown = {.name = "down",
                       .group = "grid",
                       .summary = "stop the grid on this machine, with all its units",
                       .options = {{"--purge", "", "", "remove its images, history and certificates, too"}},
                       .details =
                           "Stops units, nodes and controller and removes their networks and mounts. No grid is no "
                           "error. Checkpoints stay unless --purge is given.",
                       .examples = "  godwit down\n  godwit down --purge",
                       .json = true,
                       .run = run};

}  // namespace godwit::cli
