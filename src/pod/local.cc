// Checkpoint and restore of trees that Godwit did not start: `godwit checkpoint --pid` and `godwit restore DIR`.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "base/log.h"
#include "base/sys.h"
#include "engine/policy.h"
#include "godwit/pod.pb.h"
#include "image/image.h"
#include "pod/kinds.h"
#include "pod/pod.h"
#include "pod/validate.h"

namespace godwit::pod {
namespace {

// Signals that would end this process in the middle of a freeze wait until it is over.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsHeld() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsHeld(const SignalsHeld&) = delete;

 private:
  sigset_t before_;
};

// Below this the injection of write tracking stops the tree for as long as copying its memory would.
constexpr uint64_t kWorthRounds = 16u << 20;

// Memory goes into the image while the tree runs, in rounds as for a live move. Should this process be killed meanwhile,
// its descriptors are closed, which ends the tracking, and the image has no manifest.
Result<unsigned> write_rounds(engine::SourceEngine& source, image::ImageWriter& writer) {
  {
    const SignalsHeld held;
    TRY_DO(source.start_precopy());
  }
  engine::PrecopyPolicy policy({});
  for (const char* end = nullptr; end == nullptr;) {
    const Stopwatch watch;
    std::string outline;
    TRY(const engine::Round round, source.precopy_round(writer, outline));
    end = policy.after_round(round.pages_sent * image::kPageBytes, watch.elapsed_ms());
  }
  return policy.rounds();
}

void count(const pb::PodState& state, TreeReport& report) {
  for (const auto& p : state.processes()) {
    if (p.is_init()) continue;
    report.processes++;
    report.threads += p.threads_size();
  }
}

}  // namespace

Result<CheckReport> check_tree(pid_t pid) {
  SourceOptions options;
  options.root = pid;
  options.inherit_stdio = true;
  TRY(auto source, make_source(std::move(options)));
  TRY(auto found, source->inspect());
  CheckReport report;
  report.blockers = std::move(found.blockers);
  report.memory_bytes = found.memory_bytes;
  report.demands = std::move(found.demands);
  pb::Outline outline;
  if (outline.ParseFromString(found.outline)) report.processes = outline.processes_size();
  return report;
}

Result<TreeReport> checkpoint_tree(pid_t pid, const std::string& path, CheckpointOptions options,
                                   std::vector<engine::Blocker>& blockers) {
  Stopwatch total;
  SourceOptions source_options;
  source_options.root = pid;
  source_options.inherit_stdio = options.inherit_stdio;
  source_options.close_connections = options.close_connections;
  TRY(auto source, make_source(std::move(source_options)));
  TRY(auto found, source->inspect());
  if (!found.blockers.empty()) {
    blockers = std::move(found.blockers);
    return fail(Code::kRefused, "pid " + std::to_string(pid) + " can't be checkpointed");
  }
  TRY(auto writer, options.stream.valid() ? image::ImageWriter::to_stream(std::move(options.stream), {.zstd_level = 1})
                                          : image::ImageWriter::to_directory(path, {}));
  TreeReport report;
  if (!options.stop_first && found.memory_bytes >= kWorthRounds) {
    auto rounds = write_rounds(*source, *writer);
    if (!rounds) {
      (void)source->thaw();
      return std::unexpected(rounds.error());
    }
    report.rounds = *rounds;
  } else if (found.memory_bytes >= kWorthRounds) {
    writer->reserve(found.memory_bytes);
  }
  const SignalsHeld held;
  Stopwatch frozen;
  TRY(auto outline, source->freeze());
  auto state = source->capture(*writer);
  Result<image::Written> written = std::unexpected(Error{});
  report.timings = source->timings();
  if (state) {
    // A tree that goes on needn't wait for the manifest; one that ends must not end without it.
    if (options.leave_running) {
      TRY_DO(source->thaw());
      report.frozen_ms = frozen.elapsed_ms();
    }
    image::Manifest manifest = image::new_manifest();
    manifest.engine = "pod";
    manifest.grain = "pod";
    manifest.state = *state;
    manifest.outline = std::move(outline);
    manifest.demands = std::move(found.demands);
    written = writer->finish(std::move(manifest));
    writer.reset();  // a stream ends
    if (written && options.kept)
      if (auto kept = options.kept(); !kept) written = std::unexpected(kept.error());
  }
  if (!state || !written) {
    (void)source->thaw();
    return std::unexpected(!state ? state.error() : written.error());
  }
  if (!options.leave_running) {
    report.frozen_ms = frozen.elapsed_ms();
    TRY_DO(source->discard());
  }
  report.total_ms = total.elapsed_ms();
  report.memory_bytes = written->bytes_raw;
  report.stored_bytes = written->bytes_stored;
  pb::PodState parsed;
  if (parsed.ParseFromString(*state)) count(parsed, report);
  return report;
}

namespace {

Result<int> wait_for_unit(Sandbox* sandbox, pid_t root) {
  if (sandbox == nullptr) {
    int status = 0;
    while (::waitpid(root, &status, 0) < 0) {
      if (errno != EINTR) return fail_errno(errno, "waiting for the restored process");
    }
    return status;
  }
  while (!sandbox->ended()) {
    pollfd p{sandbox->exits().get(), POLLIN, 0};
    if (::poll(&p, 1, -1) < 0 && errno != EINTR) return fail_errno(errno, "poll");
    TRY_DO(sandbox->read_exits());
  }
  return sandbox->main_status().value_or(0);
}

}  // namespace

Result<TreeReport> restore_tree(const std::string& path, const RestoreTreeOptions& options) {
  Stopwatch total;
  // Who was started with it ignored, which execve(2) keeps, has no children to wait for: the kernel reaps them.
  if (!options.detach) ::signal(SIGCHLD, SIG_DFL);
  TRY(auto image, image::ImageReader::open(path));
  const auto& manifest = image->manifest();
  if (manifest.engine != "pod")
    return fail(Code::kRefused, "an image of engine '" + manifest.engine + "', not of a process tree");
  auto state_or = parse_state(manifest.state);
  if (!state_or) return std::unexpected(state_or.error().in(path));
  const auto& state = *state_or;
  TreeReport report;
  count(state, report);
  std::unique_ptr<Sandbox> sandbox;
  DestinationOptions destination_options;
  destination_options.inherit_stdio = true;
  destination_options.close_connections = options.close_connections;
  destination_options.assume_foreign_vdso = options.assume_foreign_vdso;
  TRY(destination_options.proc, sys::open("/proc", O_PATH | O_DIRECTORY));
  if (options.new_pids) {
    TRY(const auto clocks, clock_offsets_for(manifest.outline));
    SandboxOptions sandbox_options;
    sandbox_options.new_ipc = sandbox_options.new_uts = false;
    sandbox_options.time = clocks;
    TRY(sandbox_options.proc, sys::dup(destination_options.proc.get()));
    TRY(sandbox, Sandbox::enter(std::move(sandbox_options)));
    sandbox->set_main_pid(state.processes(0).pid());
    destination_options.outlives_engine = options.detach;
    destination_options.monotonic_offset = clocks.monotonic;
    destination_options.boottime_offset = clocks.boottime;
    destination_options.start_init = [&sandbox](int keep_fd) { return sandbox->start_init(keep_fd); };
  }
  TRY(auto destination, make_destination(std::move(destination_options)));
  TRY(const auto blockers, destination->admit(manifest.demands));
  if (!blockers.empty()) {
    std::string text = path + " can't be restored here";
    for (const auto& b : blockers) text += "\n  " + b.object + ": " + b.reason + "; lifted by " + b.lift;
    return fail(Code::kRefused, text);
  }
  {
    const SignalsHeld held;
    TRY_DO(destination->prepare(manifest.outline));
    TRY_DO(image->load_pages(destination->writer()));
    TRY_DO(destination->restore(manifest.state));
    report.root = destination->root_host_pid();
    TRY_DO(destination->resume());
  }
  report.timings = destination->timings();
  report.total_ms = total.elapsed_ms();
  if (!options.pid_file.empty()) TRY_DO(io::replace_file(options.pid_file, std::to_string(report.root) + "\n"));
  if (!options.detach) {
    TRY(report.status, wait_for_unit(sandbox.get(), report.root));
  } else if (sandbox) {
    sandbox->let_go();
  }
  return report;
}

}  // namespace godwit::pod
