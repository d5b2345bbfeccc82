// Commands about this program itself: help, version, completion, man.
#include <fmt/format.h>

#include "base/base.h"
#include "cli/command.h"
#include "cli/completion.h"
#include "cli/context.h"
#include "cli/help.h"
#include "cli/parse.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

int run_help(Context& context, const Parsed& parsed) {
  if (parsed.arguments.empty()) {
    context.print(overview());
    return kDone;
  }
  size_t used = 0;
  const Command* command = find_command(parsed.arguments, &used);
  if (!command) {
    std::vector<std::string> names;
    for (const Command* c : commands()) names.emplace_back(c->name);
    return context.report(Error{
        Code::kUsage, 0, fmt::format("no command {}{}", parsed.argument(0), did_you_mean(parsed.argument(0), names))});
  }
  context.print(help(*command));
  return kDone;
}

int run_version(Context& context, const Parsed&) {
  context.print(context.json ? object_json({{"version", GODWIT_VERSION}}) : "godwit " GODWIT_VERSION "\n");
  return kDone;
}

int run_completion(Context& context, const Parsed& parsed) {
  const std::string script = completion_script(parsed.argument(0));
  if (script.empty())
    return context.report(
        Error{Code::kUsage, 0, fmt::format("no completion for \"{}\"; there is bash, zsh, fish", parsed.argument(0))});
  context.print(script);
  return kDone;
}

int run_complete(Context& context, const Parsed& parsed) {
  for (const auto& line : complete(context, parsed.arguments)) context.print(line + "\n");
  return kDone;
}

/// All pages, by file name.
std::vector<std::pair<std::string, std::string>> pages() {
  std::vector<std::pair<std::string, std::string>> out = {{"godwit.1", overview_man()}};
  for (const Command* c : commands())
    if (!c->group.empty()) out.emplace_back(man_name(*c), man_page(*c));
  return out;
}

int run_man(Context& context, const Parsed& parsed) {
  if (parsed.has("--check")) {
    std::vector<std::string> stale;
    for (const auto& [name, text] : pages())
      if (io::read_file(parsed.get("--check") + "/" + name).value_or("") != text) stale.push_back(name);
    if (stale.empty()) return kDone;
    return context.report(Error{Code::kFailed, 0,
                                fmt::format("{} of the man pages aren't up to date ({} …); renew them with: "
                                            "godwit man --out docs/man",
                                            stale.size(), stale.front())});
  }
  if (parsed.has("--out")) {
    if (auto made = sys::make_dirs(parsed.get("--out")); !made) return context.report(made.error());
    for (const auto& [name, text] : pages())
      if (auto written = io::replace_file(parsed.get("--out") + "/" + name, text); !written)
        return context.report(written.error());
    return kDone;
  }
  size_t used = 0;
  const Command* command = parsed.arguments.empty() ? nullptr : find_command(parsed.arguments, &used);
  context.print(command ? man_page(*command) : overview_man());
  return kDone;
}

}  // namespace

const Command kHelp = {.name = "help",
                       .group = "program",
                       .summary = "explain a command",
                       .arguments = {{"COMMAND", "its name", Words::kNone, true, true}},
                       .details = "Without a command: what there is.",
                       .examples = "  godwit help move",
                       .run = run_help};

const Command kVersion = {.name = "version",
                          .group = "program",
                          .summary = "say which Godwit this is",
                          .details = "Prints the version.",
                          .examples = "",
                          .json = true,
                          .run = run_version};

const Command kCompletion = {.name = "completion",
                             .group = "program",
                             .summary = "print the completion script for a shell",
                             .arguments = {{"SHELL", "bash, zsh or fish", Words::kShell}},
                             .details = "Completes commands, options, units, nodes and files.",
                             .examples = "  eval \"$(godwit completion bash)\"\n  godwit completion fish | source",
                             .run = run_completion};

const Command kMan = {
    .name = "man",
    .group = "program",
    .summary = "print a man page",
    .arguments = {{"COMMAND", "its name; godwit itself when left out", Words::kNone, true, true}},
    .options = {{"--out", "", "DIR", "write all pages to this directory", Words::kDirectory},
                {"--check", "", "DIR", "say whether the pages there are up to date", Words::kDirectory}},
    .details = "The pages are made from the same table as the help.",
    .examples = "  godwit man move | man -l -",
    .run = run_man};

const Command kComplete = {.name = "__complete",
                           .group = "",
                           .summary = "what may stand at the place of the last word",
                           .arguments = {{"WORDS", "the words of the command line", Words::kNone, true, true}},
                           .details = "For the completion scripts.",
                           .examples = "",
                           .run = run_complete};

}  // namespace godwit::cli
