// pod_tool: the engine without daemons, for development: `pod_tool dump PID DIR [leave]`, `pod_tool restore DIR [new]`.
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/log.h"
#include "pod/pod.h"

using namespace godwit;

namespace {

int report_error(const Error& e, const std::vector<engine::Blocker>& blockers = {}) {
  std::fprintf(stderr, "%s\n", e.message().c_str());
  for (const auto& b : blockers)
    std::fprintf(stderr, "  %s: %s; lifted by %s\n", b.object.c_str(), b.reason.c_str(), b.lift.c_str());
  return e.code == Code::kRefused ? 3 : 4;
}

void print(const pod::TreeReport& r) {
  std::fprintf(stderr, "frozen %.3f ms, total %.3f ms, %lu KiB of memory, %d processes, %d threads:", r.frozen_ms,
               r.total_ms, r.memory_bytes >> 10, r.processes, r.threads);
  for (const auto& t : r.timings) std::fprintf(stderr, " %s %.3f", t.step.c_str(), t.ms);
  std::fprintf(stderr, "\n");
}

}  // namespace

int main(int argc, char** argv) {
  log::set_up({.program = "pod_tool", .file = {}, .level = "info"});
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "dump" && argc >= 4) {
    std::vector<engine::Blocker> blockers;
    pod::CheckpointOptions options;
    options.leave_running = argc > 4;
    auto r = pod::checkpoint_tree(std::atoi(argv[2]), argv[3], std::move(options), blockers);
    if (!r) return report_error(r.error(), blockers);
    print(*r);
    return 0;
  }
  if (command == "restore" && argc >= 3) {
    pod::RestoreTreeOptions options;
    options.new_pids = argc > 3;
    if (const char* file = std::getenv("PIDFILE")) options.pid_file = file;
    options.assume_foreign_vdso = std::getenv("GODWIT_TEST_FOREIGN_VDSO") != nullptr;
    auto r = pod::restore_tree(argv[2], options);
    if (!r) return report_error(r.error());
    print(*r);
    const int status = r->status.value_or(0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  std::fprintf(stderr, "usage: pod_tool dump PID DIR [leave] | restore DIR [new]\n");
  return 2;
}
