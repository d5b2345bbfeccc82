// Runs in child processes, and the command line.
#include "sim/sim.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>

#include "base/base.h"
#include "base/text.h"
#include "sim/world.h"

namespace godwit::sim {
namespace {

constexpr size_t kAtOnce = 2;  // a simulation of a large grid takes much memory

/// In the child: the run as JSON on `to`.
[[noreturn]] void child(const Scenario& scenario, const sched::Choice& choice, bool with_log, int to) {
  std::string name = "godwit-sim", quiet = "--log=root.thresh:critical", stack = "--cfg=contexts/stack-size:128",
              model = "--cfg=network/model:CM02";
  char* arguments[] = {name.data(), quiet.data(), stack.data(), model.data(), nullptr};
  int count = 4;
  simgrid::s4u::Engine engine(&count, arguments);
  World world(scenario, choice, with_log);
  const std::string text = to_json(world.run());
  size_t at = 0;
  while (at < text.size()) {
    const ssize_t written = ::write(to, text.data() + at, text.size() - at);
    if (written <= 0) break;
    at += static_cast<size_t>(written);
  }
  // Without destructors: SimGrid's would end actors that stand in the middle of something.
  ::_exit(at == text.size() ? 0 : 1);
}

struct Child {
  pid_t pid = -1;
  Fd from;
};

Result<Child> start(const Scenario& scenario, const sched::Choice& choice, bool with_log) {
  int ends[2];
  if (::pipe(ends) != 0) return fail_errno(errno, "pipe");
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid == 0) {
    ::close(ends[0]);
    child(scenario, choice, with_log, ends[1]);
  }
  ::close(ends[1]);
  return Child{pid, Fd(ends[0])};
}

Result<Run> finish(Child& child) {
  std::string text;
  char buffer[1 << 16];
  for (ssize_t got; (got = ::read(child.from.get(), buffer, sizeof(buffer))) > 0;)
    text.append(buffer, static_cast<size_t>(got));
  int status = 0;
  (void)::waitpid(child.pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return fail(Code::kFailed, fmt::format("a simulation ended with status {:#x}", status));
  return from_json(text);
}

struct Words {
  std::string scenario, policies = "none,min-min-m", csv, stages, swf;
  std::vector<std::string> set;
  bool json = false, log = false;
  size_t trials = 0;  ///< > 0: the ETC classes in place of a scenario
};

Result<Words> parse(const std::vector<std::string>& arguments) {
  Words w;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& a = arguments[i];
    const auto value = [&]() -> Result<std::string> {
      if (i + 1 >= arguments.size()) return fail(Code::kUsage, a + " wants a value");
      return arguments[++i];
    };
    if (a == "--json") {
      w.json = true;
    } else if (a == "--log") {
      w.log = true;
    } else if (a == "--set") {
      TRY(const std::string v, value());
      w.set.push_back(v);
    } else if (a == "--classes") {
      TRY(const std::string v, value());
      const auto end = std::from_chars(v.data(), v.data() + v.size(), w.trials);
      if (end.ec != std::errc() || end.ptr != v.data() + v.size() || w.trials < 1 || w.trials > 1000)
        return fail(Code::kUsage, "--classes wants a number of trials, 1 to 1000");
    } else if (a == "--policy" || a == "--csv" || a == "--stages" || a == "--swf") {
      TRY((a == "--policy" ? w.policies : a == "--csv" ? w.csv : a == "--stages" ? w.stages : w.swf), value());
    } else if (a.starts_with("-") || !w.scenario.empty()) {
      return fail(Code::kUsage, "not understood: " + a);
    } else {
      w.scenario = a;
    }
  }
  if (w.scenario.empty() && w.trials == 0) return fail(Code::kUsage, "which scenario?");
  return w;
}

/// "paper" in the list stands for no rescheduling and the six of G-JavaMPI, "all" for one of each but `exact`.
std::vector<std::string> names_of(const std::string& list) {
  std::vector<std::string> out;
  for (const auto& word : split_copy(list, ',')) {
    if (word == "paper")
      for (const char* name : {"none", "min-min-s", "min-min-m", "min-min-l", "ga-s", "ga-m", "ga-l"})
        out.emplace_back(name);
    else if (word == "all")
      for (const auto& p : sched::policies()) {
        if (p.name != "exact") out.emplace_back(p.name);
      }
    else
      out.push_back(word);
  }
  return out;
}

Result<void> run(const Words& words) {
  if (words.trials > 0) {
    TRY(const auto rows, classes(words.trials, 512, 16));
    std::fputs((words.json ? classes_json(rows) : classes_text(rows)).c_str(), stdout);
    if (words.csv.empty()) return {};
    return io::replace_file(words.csv, classes_csv(rows));
  }
  TRY(Scenario scenario, read_scenario(words.scenario));
  for (const auto& s : words.set) TRY_DO(sched::set(scenario.settings, s));
  if (!words.swf.empty()) TRY_DO(io::replace_file(words.swf, to_swf(scenario.jobs)));
  std::vector<sched::Choice> choices;
  for (const auto& name : names_of(words.policies)) {
    TRY(const auto choice, sched::choose(name, scenario.settings));
    choices.push_back(choice);
  }
  if (choices.empty()) return fail(Code::kUsage, "no policy");
  TRY(const auto runs, compare(scenario, choices, words.log));
  if (!words.csv.empty()) TRY_DO(io::replace_file(words.csv, csv(runs)));
  if (!words.stages.empty()) TRY_DO(io::replace_file(words.stages, stages_csv(runs)));
  std::string out;
  for (const auto& r : runs) {
    if (!words.log) break;
    out += r.policy + "\n";
    for (const auto& line : r.log) out += line + "\n";
    out += "\n";
  }
  out += words.json ? json(runs) : table(runs);
  for (const auto& r : runs)
    if (r.unplaced > 0 && !words.json)
      out += fmt::format("{}: {} units found no place, or no end\n", r.policy, r.unplaced);
  std::fwrite(out.data(), 1, out.size(), stdout);
  std::fflush(stdout);
  return {};
}

}  // namespace

Result<std::vector<Run>> compare(const Scenario& scenario, const std::vector<sched::Choice>& choices, bool with_log) {
  std::vector<Run> runs;
  std::vector<Child> children;
  for (size_t next = 0, done = 0; done < choices.size();) {
    while (next < choices.size() && next < done + kAtOnce) {
      TRY(Child c, start(scenario, choices[next], with_log));
      children.push_back(std::move(c));
      ++next;
    }
    TRY(Run r, finish(children[done]));
    runs.push_back(std::move(r));
    ++done;
  }
  return runs;
}

int main(const std::vector<std::string>& arguments) {
  const auto words = parse(arguments);
  const auto done = words ? run(*words) : Result<void>(std::unexpected(words.error()));
  if (done) return 0;
  std::fprintf(stderr, "godwit: %s\n", done.error().message().c_str());
  return done.error().code == Code::kUsage || done.error().code == Code::kNotFound ? 2 : 4;
}

}  // namespace godwit::sim
