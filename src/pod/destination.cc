// The destination side of the engine: entrance check, prepare, restore.
#include <algorithm>
#include <set>

#include "base/io.h"
#include "base/memory_room.h"
#include "base/sys.h"
#include "pod/capture/capture.h"
#include "pod/cpu.h"
#include "pod/pod.h"
#include "pod/restore/restorer.h"
#include "pod/validate.h"

namespace godwit::pod {
namespace {

constexpr int64_t kSameClockNs = 2'000'000;  // two readings of one clock, a message apart

class PodDestinationImpl final : public PodDestination {
 public:
  PodDestinationImpl(ProcFs proc, DestinationOptions options)
      : proc_(std::move(proc)),
        own_namespace_(static_cast<bool>(options.start_init)),
        main_ended_(std::move(options.main_ended)),
        restorer_(proc_, restore_options(options)) {
    if (options.start_init) restorer_.set_init_starter(std::move(options.start_init));
  }

  Result<std::vector<engine::Blocker>> admit(const std::string& demands) override;
  Result<void> prepare(const std::string& text) override {
    Stopwatch watch;
    TRY(const auto outline, parse_outline(text));
    auto done = restorer_.prepare(outline);
    timings_.push_back({"prepare", watch.lap_ms()});
    return done;
  }
  engine::PageWriter& writer() override { return restorer_; }
  Result<void> restore(const std::string& text) override {
    Stopwatch watch;
    TRY(auto state, parse_state(text));
    const bool has_ended = state.has_main_status();
    const int status = state.main_status();
    auto done = restorer_.restore(std::move(state));
    if (done && has_ended && main_ended_) main_ended_(status);
    timings_.push_back({"restore", watch.lap_ms()});
    return done;
  }
  bool takes_over() const override { return restorer_.takes_over(); }
  Result<void> resume() override {
    Stopwatch watch;
    auto done = restorer_.resume();
    timings_.push_back({"resume", watch.lap_ms()});
    return done;
  }
  Result<void> discard() override { return restorer_.discard(); }
  Result<std::vector<engine::Blocker>> admit_late() override {
    std::vector<engine::Blocker> blockers;
    if (auto can = LateMemory::probe(); !can) {
      blockers.push_back(make_blocker("lazy-userfaultfd", "this machine's userfaultfd", can.error().message()));
    }
    return blockers;
  }
  Result<void> expect_late(std::vector<engine::PageRun> later, engine::LatePages& pages) override {
    if (!own_namespace_) return fail(Code::kRefused, "memory can follow only into a PID namespace of its own");
    restorer_.expect_late(std::move(later), pages);
    return {};
  }
  bool misses_pages() override { return restorer_.late() != nullptr && restorer_.late()->misses(); }
  Result<void> finish_late() override {
    return restorer_.late() != nullptr ? restorer_.late()->finish() : Result<void>();
  }
  void lose_late() override {
    if (restorer_.late() != nullptr) restorer_.late()->lose();
  }
  std::vector<engine::Timing> timings() const override { return timings_; }
  pid_t root_host_pid() const override { return restorer_.root_host_pid(); }
  pid_t host_pid_of(pid_t pid) const override { return restorer_.host_pid_of(pid); }

 private:
  static RestoreOptions restore_options(const DestinationOptions& o) {
    RestoreOptions r;
    r.scratch_dir = o.scratch_dir;
    r.close_connections = o.close_connections;
    r.inherit_stdio = o.inherit_stdio;
    r.monotonic_offset = o.monotonic_offset;
    r.boottime_offset = o.boottime_offset;
    r.assume_foreign_vdso = o.assume_foreign_vdso;
    r.outlives_engine = o.outlives_engine;
    r.forbidden_capabilities = o.forbidden_capabilities;
    r.sockets_of_tree = o.sockets_of_tree;
    return r;
  }
  ProcFs proc_;
  bool own_namespace_;
  std::function<void(int)> main_ended_;
  Restorer restorer_;
  std::vector<engine::Timing> timings_;
};

Result<std::vector<engine::Blocker>> PodDestinationImpl::admit(const std::string& text) {
  pb::Demands demands;
  if (!demands.ParseFromString(text)) return fail(Code::kCorrupt, "the demands can't be parsed");
  std::vector<engine::Blocker> blockers;
  const auto have = cpu_features();
  const std::set<std::string> features(have.begin(), have.end());
  std::string missing;
  for (const auto& wanted : demands.cpu_features()) {
    if (!features.contains(wanted)) missing += (missing.empty() ? "" : " ") + wanted;
  }
  if (!missing.empty()) blockers.push_back(make_blocker("cpu-features", "this machine's CPU", "missing: " + missing));
  if ((demands.host().xfeatures() & ~enabled_xfeatures()) != 0) {
    blockers.push_back(make_blocker("cpu-features", "this machine's XSAVE state"));
  }
  const uint64_t memory = memory_room();
  if (demands.memory_bytes() > memory) {
    blockers.push_back(make_blocker("memory", "this machine's memory",
                                    std::to_string(demands.memory_bytes() >> 20) + " MiB wanted, " +
                                        std::to_string(memory >> 20) + " MiB available"));
  }
  if (!own_namespace_) {
    for (const pid_t pid : demands.pids()) {
      if (proc_.stat(pid)) blockers.push_back(make_blocker("pid-in-use", "pid " + std::to_string(pid)));
    }
  }
  return blockers;
}

}  // namespace

Result<std::unique_ptr<PodDestination>> make_destination(DestinationOptions options) {
  if (!options.proc.valid()) {
    TRY(options.proc, sys::open("/proc", O_PATH | O_DIRECTORY));
  }
  ProcFs proc(std::move(options.proc));
  return std::make_unique<PodDestinationImpl>(std::move(proc), std::move(options));
}

Result<ClockOffsets> clock_offsets_for(const std::string& text) {
  pb::Outline outline;
  if (!outline.ParseFromString(text)) return fail(Code::kCorrupt, "the outline can't be parsed");
  // The same boot, so the same clocks: exactly what it was. (Two nodes of one machine, or a restore where it was dumped.)
  const auto boot = io::read_file("/proc/sys/kernel/random/boot_id");
  if (boot && !outline.host().boot_id().empty() && boot->starts_with(outline.host().boot_id())) {
    return ClockOffsets{Nanos(outline.host().monotonic_offset_ns()), Nanos(outline.host().boottime_offset_ns())};
  }
  // Else the difference of two readings, which is short by the time the message took; Restorer::resume() waits until the
  // unit's clock has passed what it last showed at the source.
  ClockOffsets offsets{Nanos(outline.host().monotonic_ns()) - clock_now(CLOCK_MONOTONIC),
                       Nanos(outline.host().boottime_ns()) - clock_now(CLOCK_BOOTTIME)};
  if (std::abs(offsets.monotonic.count()) < kSameClockNs) offsets.monotonic = Nanos(0);
  if (std::abs(offsets.boottime.count()) < kSameClockNs) offsets.boottime = Nanos(0);
  return offsets;
}

}  // namespace godwit::pod
