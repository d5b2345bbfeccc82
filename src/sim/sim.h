// sim: grids that don't exist. A scenario (docs/formats/scenario.md) says which nodes, jobs and events there are; SimGrid gives
// their time on CPUs and links; what moves where is decided by the code that decides on a real grid (sched/sched.h).
//
//     TRY(const Scenario scenario, read_scenario("paper.sim"));
//     TRY(const auto runs, compare(scenario, {*sched::choose("none"), *sched::choose("min-min-m")}));
//     print(table(runs));
//
// What is modelled: processors shared evenly, links shared max-min fairly (SimGrid's models), memory as a limit, moves as a
// stream beside the running unit and a freeze, moves at a time limited, nodes that come, go, vanish, slow down. What isn't:
// disks, messages between a job's processes, failures of moves. Predictions may be wrong (`noise`), as real ones are.
//
// SimGrid holds one simulation per process: each run is a child process. Nothing here may be called beside other threads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "sched/sched.h"

namespace godwit::sim {

struct NodeSpec {
  std::string name;
  std::string site;
  std::string arch;
  double speed = 1;
  int cpus = 1;
  double memory = 0;  ///< bytes; 0: no limit
  double bandwidth = 125e6;  ///< bytes per second, of its link to its site
  bool present = true;  ///< false: it joins later
};

/// Processes that begin together; the job is done when all are.
struct JobSpec {
  std::string name;
  double at = 0;
  int processes = 1;
  double work = 0;  ///< of each process, in seconds of a CPU of speed 1
  double memory = 50e6;
  double dirty_rate = 1e6;
  std::string arch;
  bool pinned = false;
  std::vector<std::string> excluded;
  std::vector<std::string> on;  ///< nodes that its processes start on, in turn; empty: placed
};

struct EventSpec {
  double at = 0;
  sched::EventKind kind = sched::EventKind::kLoad;
  std::string node;
  double notice = 0;  ///< leave, spot: seconds until it is gone
  double value = 0;  ///< slow: factor of its speed; pressure: bytes that something else takes
};

/// Nodes that come and go at random.
struct Churn {
  double share = 0;  ///< of the nodes, at the end of the list
  double every = 3600;  ///< mean seconds that one is there
  double away = 600;  ///< mean seconds that it is away
  double notice = 30;
  double vanish = 0;  ///< part of the leaves that come without notice
};

struct Scenario {
  std::vector<NodeSpec> nodes;
  std::vector<JobSpec> jobs;
  std::vector<EventSpec> events;
  Churn churn;
  sched::CostModel cost;
  sched::Settings settings;
  double backbone = 12.5e6;  ///< bytes per second between two sites
  double latency = 1e-4;  ///< of a node's link
  double tick = 30;  ///< seconds between two looks at the load; 0: never
  double cooldown = 30;
  double checkpoint_every = 0;  ///< what a vanished node loses at most; 0: everything
  double noise = 0;  ///< sigma of the logarithm by which predictions of work are wrong
  int moves_at_once = 8;
  double move_cpu_from = 0,
         move_cpu_to = 0;  ///< CPU seconds (of speed 1) that a move takes on either node before its freeze
  double move_weight = 1;  ///< what it gets of a CPU beside a unit's 1
  uint64_t seed = 1;
};

/// `folder` is where traces are looked for.
Result<Scenario> parse_scenario(const std::string& text, const std::string& folder);
Result<Scenario> read_scenario(const std::string& path);

// ------------------------------------------------------------------------------------------------------------ workloads

/// Lublin and Feitelson's model of the jobs of parallel machines; see workload.cc.
struct Lublin {
  size_t jobs = 1000;
  int machine = 64;  ///< processors: bounds a job's processes
  double scale = 1;  ///< of run times
  double load = 0;  ///< offered, as part of the capacity: gaps are stretched to this; 0: as they are
  double capacity = 1;  ///< CPU-seconds per second
  double memory = 100e6;  ///< median of a process
  uint64_t seed = 1;
};
std::vector<JobSpec> lublin_jobs(const Lublin& model);
/// Standard Workload Format 2.2 (Chapin et al. 1999). Jobs that never ran are left out. At most `most` jobs; 0: all.
Result<std::vector<JobSpec>> parse_swf(const std::string& text, size_t most, double scale);
std::string to_swf(const std::vector<JobSpec>& jobs);

// ----------------------------------------------------------------------------------------------------------------- runs

/// What a stage of the run was: from one change of the grid to the next.
struct Stage {
  double from = 0, to = 0;
  std::string began_with;
  double work = 0;  ///< finished in it
  double capacity = 0;  ///< that there was
};

struct Run {
  std::string policy;
  double makespan = 0;
  size_t jobs = 0;
  double turnaround = 0;  ///< mean
  double slowdown = 0;  ///< mean of turnaround / max(10 s, work), at least 1
  double jobs_per_hour = 0;
  double efficiency = 0;  ///< work done / capacity that was there
  double lost_work = 0;
  size_t moves = 0, after_extension = 0, after_shrink = 0, otherwise = 0;
  size_t unplaced = 0;  ///< units that had no place when the simulation ended
  double moved_bytes = 0;
  double decisions_s = 0;  ///< real time spent in deciding: not in tables that tests compare
  std::vector<Stage> stages;
  std::vector<std::string> log;
};

/// One run after the other, two at a time. `with_log`: each event and move as a line.
Result<std::vector<Run>> compare(const Scenario& scenario, const std::vector<sched::Choice>& choices, bool with_log);

std::string table(const std::vector<Run>& runs);
std::string csv(const std::vector<Run>& runs);
std::string stages_csv(const std::vector<Run>& runs);
std::string json(const std::vector<Run>& runs);
/// Braun et al.'s twelve ETC classes: means of some trials of each.
struct ClassRow {
  std::string name;
  double bound = 0;  ///< a lower bound, relative to Min-min's makespan
  struct Cell {
    std::string policy;
    double to_min_min = 0, to_bound = 0;  ///< makespan relative to these
    double ms = 0;  ///< real time of a decision
  };
  std::vector<Cell> policies;
};
Result<std::vector<ClassRow>> classes(size_t trials, size_t units, size_t nodes);
std::string classes_text(const std::vector<ClassRow>& rows);
std::string classes_csv(const std::vector<ClassRow>& rows);
std::string classes_json(const std::vector<ClassRow>& rows);
/// Of one run, for the pipe between processes.
std::string to_json(const Run& run);
Result<Run> from_json(const std::string& text);

/// godwit-sim's command line. Returns the exit status (cli/cli.h).
int main(const std::vector<std::string>& arguments);

}  // namespace godwit::sim
