#include <unistd.h>

#include <chrono>
#include <thread>

#include "cli/command.h"
#include "cli/context.h"
#include "cli/parse.h"
#include "cli/present_sched.h"

namespace godwit::cli {
namespace {

/// One look. The screen is drawn whole, from the top: what flickers least without a library for it.
int look(Context& context, bool clear) {
  OR_REPORT(auto* controller, context.controller());
  OR_REPORT(auto* scheduling, context.scheduling());
  wire::NodesReply nodes;
  wire::PsReply units;
  wire::PlanReply plan;
  grpc::ClientContext first, second, third;
  if (const auto s = controller->Nodes(&first, {}, &nodes); !s.ok()) return context.report(s);
  if (const auto s = controller->Ps(&second, {}, &units); !s.ok()) return context.report(s);
  wire::PlanRequest request;
  request.set_only_progress(true);
  if (const auto s = scheduling->Plan(&third, request, &plan); !s.ok()) return context.report(s);
  constexpr const char* kHome = "\033[H\033[J";
  context.print((clear ? kHome : "") + top_text(nodes, units, plan));
  return kDone;
}

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(const long every, number(parsed, "--every", 1, 3600, 2));
  const bool live = ::isatty(STDOUT_FILENO) != 0 && !parsed.has("--once");
  for (;;) {
    const int status = look(context, live);
    if (!live || status != kDone) return status;
    std::this_thread::sleep_for(std::chrono::seconds(every));
  }
}

}  // namespace

const Command kTop = {
    .name = "top",
    .group = "rescheduling",
    .summary = "load of the nodes, progress of the units, as they change",
    .options = {{"--every", "", "SECONDS", "between two looks; 2 when left out"},
                {"--once", "", "", "print once, as when standard output is no terminal"}},
    .details =
        "Nodes with their load, pressure and memory; units with the CPUs that they use, memory, reads and "
        "writes, how far they are and how that is known, and how long they would still need. Ends with "
        "ctrl-c.",
    .examples = "  godwit top\n  godwit top --once",
    .run = run};

}  // namespace godwit::cli
