// What runs look like: for people, for spreadsheets, for programs.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sim/sim.h"

namespace godwit::sim {
namespace {

using nlohmann::ordered_json;

ordered_json object(const Run& r) {
  ordered_json stages = ordered_json::array();
  for (const auto& s : r.stages)
    stages.push_back(
        {{"from_s", s.from}, {"to_s", s.to}, {"began_with", s.began_with}, {"work", s.work}, {"capacity", s.capacity}});
  return {{"policy", r.policy},
          {"makespan_s", r.makespan},
          {"jobs", r.jobs},
          {"turnaround_s", r.turnaround},
          {"slowdown", r.slowdown},
          {"jobs_per_hour", r.jobs_per_hour},
          {"efficiency", r.efficiency},
          {"lost_work", r.lost_work},
          {"moves", r.moves},
          {"after_extension", r.after_extension},
          {"after_shrink", r.after_shrink},
          {"otherwise", r.otherwise},
          {"unplaced", r.unplaced},
          {"moved_bytes", r.moved_bytes},
          {"decisions_s", r.decisions_s},
          {"stages", stages},
          {"log", r.log}};
}

}  // namespace

std::string to_json(const Run& run) { return object(run).dump(-1, ' ', false, ordered_json::error_handler_t::replace); }

Result<Run> from_json(const std::string& text) {
  Run r;
  try {
    const auto j = nlohmann::json::parse(text);
    const auto get = [&](const char* name, auto& field) { j.at(name).get_to(field); };
    get("policy", r.policy), get("makespan_s", r.makespan), get("jobs", r.jobs), get("turnaround_s", r.turnaround);
    get("slowdown", r.slowdown), get("jobs_per_hour", r.jobs_per_hour), get("efficiency", r.efficiency);
    get("lost_work", r.lost_work), get("moves", r.moves), get("after_extension", r.after_extension);
    get("after_shrink", r.after_shrink), get("otherwise", r.otherwise), get("unplaced", r.unplaced);
    get("moved_bytes", r.moved_bytes), get("decisions_s", r.decisions_s), get("log", r.log);
    for (const auto& s : j.at("stages"))
      r.stages.push_back({s.at("from_s"), s.at("to_s"), s.at("began_with"), s.at("work"), s.at("capacity")});
  } catch (const nlohmann::json::exception& e) {
    return fail(Code::kCorrupt, e.what());
  }
  return r;
}

std::string json(const std::vector<Run>& runs) {
  ordered_json all = ordered_json::array();
  for (const auto& r : runs) {
    auto row = object(r);
    row.erase("log");
    all.push_back(row);
  }
  return all.dump(2) + "\n";
}

std::string table(const std::vector<Run>& runs) {
  std::string out =
      fmt::format("{:<13} {:>11} {:>10} {:>12} {:>8} {:>6} {:>7} {:>7} {:>7} {:>7} {:>9}\n", "policy", "makespan s",
                  "vs first", "turnaround s", "slowdown", "eff %", "moves", "extend", "shrink", "load", "lost s");
  for (const auto& r : runs) {
    const double first = runs.front().makespan;
    out += fmt::format("{:<13} {:>11.1f} {:>9.1f}% {:>12.1f} {:>8.2f} {:>6.1f} {:>7} {:>7} {:>7} {:>7} {:>9.0f}\n",
                       r.policy, r.makespan, first > 0 ? 100 * (r.makespan / first - 1) : 0, r.turnaround, r.slowdown,
                       100 * r.efficiency, r.moves, r.after_extension, r.after_shrink, r.otherwise, r.lost_work);
  }
  return out;
}

std::string csv(const std::vector<Run>& runs) {
  std::string out =
      "policy,makespan_s,jobs,turnaround_s,slowdown,jobs_per_hour,efficiency,lost_work,moves,after_extension,after_"
      "shrink,"
      "otherwise,unplaced,moved_bytes,decisions_s\n";
  for (const auto& r : runs)
    out +=
        fmt::format("{},{:.3f},{},{:.3f},{:.4f},{:.2f},{:.4f},{:.1f},{},{},{},{},{},{:.0f},{:.3f}\n", r.policy,
                    r.makespan, r.jobs, r.turnaround, r.slowdown, r.jobs_per_hour, r.efficiency, r.lost_work, r.moves,
                    r.after_extension, r.after_shrink, r.otherwise, r.unplaced, r.moved_bytes, r.decisions_s);
  return out;
}

std::string stages_csv(const std::vector<Run>& runs) {
  std::string out = "policy,stage,began_with,from_s,to_s,work,capacity,efficiency\n";
  for (const auto& r : runs)
    for (size_t i = 0; i < r.stages.size(); ++i) {
      const Stage& s = r.stages[i];
      out += fmt::format("{},{},{},{:.3f},{:.3f},{:.3f},{:.3f},{:.4f}\n", r.policy, i + 1, s.began_with, s.from, s.to,
                         s.work, s.capacity, s.capacity > 0 ? s.work / s.capacity : 0);
    }
  return out;
}

}  // namespace godwit::sim
