// What can't be moved, from the refusal tables of the engines, of the file layer and of what enforces documents.
#include <fmt/format.h>

#include <algorithm>

#include "base/base.h"
#include "cli/command.h"
#include "cli/context.h"
#include "confine/confine.h"
#include "files/files.h"
#include "files/refusals.h"
#include "pod/pod.h"
#include "portable/engine/engine.h"

namespace godwit::cli {
namespace {

struct Row {
  std::string_view code, what, reason, lift;
};

std::vector<Row> rows() {
  std::vector<Row> all;
  for (const auto& r : pod::refusals()) all.push_back({r.code, r.what, r.reason, r.lift});
  for (const auto& r : portable::refusals()) all.push_back({r.code, r.what, r.reason, r.lift});
  for (const auto& r : confine::refusals()) all.push_back({r.code, r.what, r.reason, r.lift});
  for (const auto& r : files::refusals()) all.push_back({r.code, r.what, r.reason, r.lift});
  std::ranges::sort(all, {}, &Row::code);
  return all;
}

// Limits that no check can see, so they are no rows of a table.
constexpr std::string_view kNotRefused = R"(
## What is carried, but not exactly

* A call that had written a part of its bytes into a full pipe or socket when it was stopped returns that part, as after
  SIGSTOP (signal(7)); so does any program that checks the result of write(2).
* A relative sleep without a place for the remaining time (clock_nanosleep(2) without its last argument, poll(2), a futex
  wait with a time-out) begins its time-out again: it may end late, never early.
* Overruns of a POSIX timer whose signal was pending are counted from the restore on.
* Hard resource limits, a lower oom_score_adj and real-time priorities are given as far as the destination's rights
  allow; a warning in the unit's log says what was not.
* A core-dump flag in the exit status of a zombie is lost.

## What a document can't limit

* Looking at names, times, owners and rights of files outside its paths, and changing the latter where the file's own rights let the
  unit's user do it; connecting to a UNIX socket by its path: the kernel's Landlock doesn't ask.
* Addresses of other families than IPv4 and IPv6.
* Shared memory that came with a move is counted as the node's, not as the unit's.
)";

std::string document() {
  std::string text =
      "# What cannot be moved\n\n"
      "Generated from the refusal tables by `godwit limits`; the program says the same, before it touches anything.\n\n"
      "| code | what | why | what lifts it |\n|---|---|---|---|\n";
  for (const auto& r : rows()) text += fmt::format("| `{}` | {} | {} | {} |\n", r.code, r.what, r.reason, r.lift);
  return text + std::string(kNotRefused);
}

int run_limits(Context& context, const Parsed& parsed) {
  if (parsed.has("--check")) {
    if (io::read_file(parsed.get("--check")).value_or("") == document()) return kDone;
    return context.report(Error{
        Code::kFailed, 0, parsed.get("--check") + " isn't up to date; renew it with: godwit limits > docs/limits.md"});
  }
  context.print(document());
  return kDone;
}

}  // namespace

const Command kLimits = {
    .name = "limits",
    .group = "moving",
    .summary = "what cannot be moved, why, and what lifts it",
    .options = {{"--check", "", "FILE", "say whether the document there is up to date", Words::kFile}},
    .details =
        "Every object that forbids a move has a code, a reason and a way out. `godwit check` finds those that one "
        "program has; this lists all there are, as a Markdown page (docs/limits.md).",
    .examples = "  godwit limits | less",
    .run = run_limits};

}  // namespace godwit::cli
