#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/context.h"

namespace godwit::cli {
namespace {

namespace fs = std::filesystem;

/// The experiment is a script: what it measures is this program from outside. It lies in the source tree that this program was
/// built in, or where that was installed.
fs::path script(const fs::path& programs) {
  std::error_code trouble;
  for (const char* place : {"../../../bench/grid", "../../bench/grid", "../share/godwit/bench/grid"})
    if (const auto path = (programs / place).lexically_normal(); fs::exists(path, trouble)) return path;
  return {};
}

int run(Context& context, const Parsed& parsed) {
  std::error_code trouble;
  const fs::path programs = fs::read_symlink("/proc/self/exe", trouble).parent_path();
  const std::string path = script(programs).string();
  if (path.empty())
    return context.report(
        Error{Code::kNotFound, 0, "bench/grid isn't here: run this program where it was built, in its source tree"});
  std::vector<std::string> words = {path, "--build", programs.parent_path().string(), "--refused",
                                    std::to_string(exit_status(Code::kRefused))};
  for (const char* option : {"--policies", "--runs", "--output", "--scale", "--looks", "--bases", "--weight"})
    if (parsed.has(option)) words.insert(words.end(), {option, parsed.get(option)});
  if (parsed.has("--continue")) words.emplace_back("--continue");
  if (context.json) words.emplace_back("--json");
  std::vector<char*> argv;
  for (auto& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  return context.report(Error{Code::kSystem, errno, fmt::format("{}: it needs python3", path)});
}

}  // namespace

const Command kBenchGrid = {
    .name = "bench grid",
    .group = "rescheduling",
    .summary = "measure policies: BLAST searches on nodes that come and go",
    .options = {{"--policies", "-p", "NAME,…",
                 "to compare; all (none, G-JavaMPI's six and the others) when left out; paper: without the others"},
                {"--runs", "-n", "N", "of each policy; 1 when left out"},
                {"--output", "-o", "DIR", "for CSV, plots, scenario and data; grid-experiment when left out",
                 Words::kDirectory},
                {"--continue", "", "", "keep the runs that are in DIR's CSV already, and make those that are missing"},
                {"--scale", "", "S", "of the work and of the events' times; 1, about 100 s a run, when left out"},
                {"--looks", "", "SECONDS", "between two looks at the load; 0, only the two events, when left out"},
                {"--bases", "", "N", "size of the database; 96000000 when left out"},
                {"--weight", "", "W",
                 "of a node among what else runs here, in those of an ordinary process; 1 when left out"}},
    .details =
        "Section 6.2 of the G-JavaMPI paper on this machine: seven nodes at two sites of unequal speed, each a part of "
        "a processor by its control group; three BLAST+ searches X, Y and Z of 8, 6 and 4 processes over segments of "
        "one sequence database, started on five nodes. Two nodes join after a while and leave again later, with "
        "notice. One grid after the other, one for each policy and run.\n\n"
        "Every report must equal, byte for byte, that of the search that nobody moved, or the command fails; it says "
        "so at the end. It prints "
        "a table: time, finished work and efficiency by stage, moves after the extension and the shrink, and what the "
        "simulator (godwit sim) says of the same. DIR gets grid.csv, grid-moves.csv, grid-samples.csv, stages.svg, "
        "work.svg, finished.svg and grid.sim; what the columns are is in bench/README.md. How far it is goes to "
        "standard error.\n\n"
        "It needs root, python3, BLAST+ (ncbi-blast+) and, for plots, gnuplot (scripts/install-dependencies demo); "
        "what is missing is named, with status 3. The machine should be idle: docs/howto/grid-experiment.md.",
    .examples =
        "  godwit bench grid\n"
        "  godwit bench grid --policies paper --runs 2 --output results\n"
        "  godwit bench grid --policies paper --runs 3 --output results --continue",
    .json = true,
    .run = run};

}  // namespace godwit::cli
