#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/base.h"
#include "base/new_file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/local.h"
#include "cli/present.h"
#include "sealing/sealing.h"

namespace godwit::cli {
namespace {

int of_unit(Context& context, const Parsed& parsed) {
  const std::string unit = parsed.argument(0);
  const std::string path = parsed.get("--output");
  OR_REPORT(const auto tcp, tcp_policy(parsed));
  OR_REPORT(auto* controller, context.controller());
  wire::CheckpointRequest request;
  if (parsed.has("--encrypt")) {
    OR_REPORT(const auto to, sealing::find_public_key(parsed.get("--encrypt")));
    request.set_seal_to(to.text());
  }
  NewFile file(path);
  if (!path.empty())
    if (auto opened = file.open(0600); !opened) return context.report(opened.error());
  request.set_unit(unit);
  request.set_want_file(!path.empty());
  request.set_tcp(tcp);
  grpc::ClientContext call;
  ProgressBar bar(unit);
  const auto stream = controller->Checkpoint(&call, request);
  wire::CheckpointEvent event;
  wire::Checkpoint done;
  Result<void> written;
  while (stream->Read(&event)) {
    if (event.has_progress()) bar.show(event.progress());
    if (event.has_done()) done = event.done();
    if (event.has_data() && written) {
      written = file.write(event.data());
      if (!written) call.TryCancel();
    }
  }
  bar.clear();
  const auto status = stream->Finish();
  if (!written) return context.report(written.error());
  if (!status.ok()) return context.report(status);
  if (!path.empty())
    if (auto whole = file.finish(); !whole) return context.report(whole.error());
  if (context.json) {
    context.print(checkpoint_json(done, unit, path));
  } else {
    context.print(fmt::format("{}@{}: {} ({} new), down {:.1f} ms, in all {:.1f} ms\n", unit, done.number(),
                              size_text(done.bytes()), size_text(done.bytes_new()), done.downtime_ms(),
                              done.total_ms()));
    context.print(phases_text(done.phases()));
    if (!done.sealed_to().empty()) context.print(fmt::format("encrypted to {}\n", done.sealed_to()));
    if (!path.empty()) context.print(fmt::format("written to {}\n", path));
  }
  return kDone;
}

int run(Context& context, const Parsed& parsed) {
  if (parsed.has("--pid") == !parsed.argument(0).empty())
    return context.report(Error{Code::kUsage, 0, "godwit checkpoint wants a UNIT or --pid PID"});
  if (parsed.has("--pid")) return checkpoint_pid(context, parsed);
  if (parsed.has("--leave-running"))
    return context.report(Error{Code::kUsage, 0, "--leave-running goes with --pid; a unit always runs on"});
  if (parsed.has("--stop"))
    return context.report(Error{Code::kUsage, 0, "--stop goes with --pid; a unit's memory is copied while it runs"});
  return of_unit(context, parsed);
}

}  // namespace

const Command kCheckpoint = {
    .name = "checkpoint",
    .group = "moving",
    .summary = "keep a unit's present state, to go back to",
    .arguments = {{"UNIT", "its name or id", Words::kUnit, true}},
    .options = {{"--output", "-o", "PATH", "also write it to this file; with --pid, the directory for the image",
                 Words::kFile},
                {"--encrypt", "-e", "KEY",
                 "only the owner of this key (of godwit key new --sealing) can read the checkpoint", Words::kFile},
                {"--pid", "", "PID", "any process tree of this machine instead of a unit; needs no grid"},
                {"--leave-running", "", "", "with --pid: let it go on afterwards"},
                {"--stop", "", "", "with --pid: let it stand while all of its memory is copied"},
                {"--tcp", "", "POLICY", "established TCP connections: refuse (the default) or close", Words::kTcp}},
    .details =
        "The unit runs on; it stands still for a moment only. The checkpoint becomes UNIT@NUMBER in its history, and a "
        "second node keeps a copy. With -o FILE it is also written to one file, which can be restored on another "
        "grid. --encrypt KEY seals the checkpoint to a public key, its .pub file or x25519:…, on the unit's node, "
        "before "
        "anything of it is written there: in the grid's history, on both nodes, and in FILE. Only godwit restore with "
        "that key can open it. Each is as large as the unit, whatever the one before had.\n\nWith --pid PID -o DIR the "
        "tree of processes "
        "that begins with PID is written to DIR and ended, or "
        "left running with --leave-running; with --encrypt DIR is one file. No daemon is needed. Memory of more than "
        "16 MiB is written while "
        "it runs, and what has changed meanwhile when it stands; --stop copies all of it at a stand, which takes less "
        "in all.",
    .examples =
        "  godwit checkpoint sim\n  godwit checkpoint sim -o sim.godwit\n"
        "  godwit checkpoint sim --encrypt ada.key.pub\n"
        "  godwit checkpoint --pid 4711 -o /tmp/image --leave-running",
    .json = true,
    .run = run};

}  // namespace godwit::cli
