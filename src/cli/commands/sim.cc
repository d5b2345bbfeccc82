#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/context.h"

namespace godwit::cli {
namespace {

/// The simulator is a program of its own: SimGrid's library takes longer to load than most commands take in all.
int run(Context& context, const Parsed& parsed) {
  std::error_code trouble;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", trouble);
  const std::string path = (self.parent_path() / "godwit-sim").string();
  std::vector<std::string> words{path};
  if (!parsed.arguments.empty()) words.push_back(parsed.argument(0));
  for (const char* option : {"--policy", "--csv", "--stages", "--swf", "--classes"})
    if (parsed.has(option)) words.insert(words.end(), {option, parsed.get(option)});
  for (const auto& value : parsed.all("--set")) words.insert(words.end(), {"--set", value});
  if (parsed.has("--log")) words.emplace_back("--log");
  if (context.json) words.emplace_back("--json");
  std::vector<char*> argv;
  for (auto& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  return context.report(Error{
      Code::kSystem, errno, fmt::format("{}: this build of Godwit has no simulator (it needs libsimgrid-dev)", path)});
}

}  // namespace

const Command kSim = {
    .name = "sim",
    .group = "rescheduling",
    .summary = "try policies on a grid that doesn't exist",
    .arguments = {{"SCENARIO", "a file: nodes, jobs, events", Words::kFile, true}},
    .options = {{"--policy", "-p", "NAME,…", "policies to compare; none,min-min-m when left out; paper, all"},
                {"--set", "", "KEY=VALUE", "a setting of the policies, as in godwit policy set", Words::kNone, true},
                {"--classes", "", "TRIALS",
                 "in place of a scenario: the ETC matrices of Braun et al., 512 units on 16 nodes, with "
                 "makespans relative to Min-min's"},
                {"--log", "", "", "print every event and move"},
                {"--csv", "", "FILE", "write the table as CSV too", Words::kFile},
                {"--stages", "", "FILE", "write each stage's work, from one change of the grid to the next, as CSV",
                 Words::kFile},
                {"--swf", "", "FILE", "write the scenario's jobs in the Standard Workload Format", Words::kFile}},
    .details =
        "Runs the scenario once for each policy, by the code that decides on a real grid, with processors and links as "
        "SimGrid models them, and compares: makespan, mean turnaround and slowdown, efficiency (work done of what the "
        "nodes could have done), moves after the grid grew, shrank, and otherwise, work lost with nodes that "
        "vanished.\n\n"
        "The policy \"paper\" stands for none and the six of G-JavaMPI, \"all\" for one of each. The format of "
        "scenarios is "
        "in docs/formats/scenario.md; examples are in examples/sim.",
    .examples =
        "  godwit sim examples/sim/paper.sim --policy paper\n"
        "  godwit sim examples/sim/churn.sim -p none,min-min-m,gossip --csv churn.csv\n"
        "  godwit sim --classes 10",
    .json = true,
    .run = run};

}  // namespace godwit::cli
