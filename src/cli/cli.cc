#include "cli/cli.h"

#include <fmt/format.h>
#include <signal.h>

#include "base/base.h"
#include "cli/command.h"
#include "cli/context.h"
#include "cli/help.h"
#include "cli/parse.h"

namespace godwit::cli {
namespace {

/// Common options may stand before the command, too: `godwit --json ps`.
std::vector<std::string> command_first(const std::vector<std::string>& words) {
  std::vector<std::string> moved;
  size_t i = 0;
  for (; i < words.size() && words[i].starts_with("-"); ++i) {
    const Option* option = nullptr;
    for (const Option& o : common_options())
      if (words[i].substr(0, words[i].find('=')) == o.name || words[i] == o.letter) option = &o;
    if (!option) break;
    moved.push_back(words[i]);
    if (!option->value.empty() && words[i].find('=') == std::string::npos && i + 1 < words.size())
      moved.push_back(words[++i]);
  }
  std::vector<std::string> out(words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
  if (out.empty() || moved.empty()) return out.empty() ? moved : out;
  size_t used = 0;
  const size_t at = find_command(out, &used) ? used : 1;
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(at), moved.begin(), moved.end());
  return out;
}

/// A wrong command line: what is wrong, and where to read on.
int misuse(Context& context, const Error& error, const Command* command) {
  if (context.json) return context.report(error);
  const int status = context.report(error);
  const std::string more = command ? fmt::format("  godwit help {}\n", command->name) : "  godwit help\n";
  (void)io::write_full(2, more);
  return status;
}

}  // namespace

int main(const std::vector<std::string>& arguments) {
  // Before gRPC's threads exist: a signal that any thread leaves unblocked never reaches a signalfd (session.cc).
  sigset_t window;
  sigemptyset(&window);
  sigaddset(&window, SIGWINCH);
  pthread_sigmask(SIG_BLOCK, &window, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::setenv("GRPC_VERBOSITY", "NONE", 0);  // a lost connection is told in our words

  Context context;
  context.state_dir = default_state_dir();
  const std::vector<std::string> words = command_first(arguments);
  if (words.empty() || words[0] == "--help" || words[0] == "-h") {
    context.print(overview());
    return words.empty() ? kWrongUsage : kDone;
  }
  if (words[0] == "--version") {
    context.print("godwit " GODWIT_VERSION "\n");
    return kDone;
  }
  context.json = std::ranges::find(arguments, "--json") != arguments.end();  // so that a misuse is told as JSON, too
  size_t used = 0;
  const Command* command = find_command(words, &used);
  if (!command) {
    std::vector<std::string> names;
    std::string family;
    for (const Command* c : commands()) {
      names.emplace_back(c->name);
      if (c->name.starts_with(words[0] + " "))
        family += fmt::format("{}godwit {}", family.empty() ? "" : ", ", c->name);
    }
    const std::string hint = family.empty() ? did_you_mean(words[0], names) : "; there is: " + family;
    return misuse(context, Error{Code::kUsage, 0, fmt::format("no command \"{}\"{}", words[0], hint)}, nullptr);
  }
  const std::vector<std::string> rest(words.begin() + static_cast<std::ptrdiff_t>(used), words.end());
  if (command->raw) {
    Parsed all;
    all.arguments = rest;
    return command->run(context, all);
  }
  const auto parsed = parse(*command, rest);
  if (!parsed) return misuse(context, parsed.error(), command);
  context.json = parsed->has("--json");
  if (parsed->has("--help")) {
    context.print(help(*command));
    return kDone;
  }
  if (context.json && !command->json)
    return misuse(context, Error{Code::kUsage, 0, fmt::format("godwit {} has no --json form", command->name)}, command);
  if (parsed->has("--state")) context.state_dir = parsed->get("--state");
  if (!context.state_dir.starts_with("/")) {
    auto here = sys::read_link("/proc/self/cwd");
    if (here) context.state_dir = *here + "/" + context.state_dir;
  }
  return command->run(context, *parsed);
}

}  // namespace godwit::cli
