// The source side of the engine: freeze, capture, and how it ends (thawed, or the processes discarded). What is done before,
// while the unit runs, is in precopy.cc.
#include "pod/source.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <ctime>

#include "base/crew.h"
#include "pod/capture/late.h"
#include "pod/pinning.h"

namespace godwit::pod {
namespace {

constexpr int kLooks = 12;  // 78 ms in all

}  // namespace

CaptureOptions PodSource::capture_options(bool inspecting) const {
  CaptureOptions o;
  o.inspecting = inspecting;
  o.own_pid_namespace = options_.own_pid_namespace;
  o.init_host_pid = options_.own_pid_namespace ? options_.root : 0;
  o.close_connections = options_.close_connections;
  o.inherit_stdio = options_.inherit_stdio;
  o.known_spaces = &spaces_;
  o.known_shared = shared_.get();
  if (!announced_.empty()) o.earlier_areas = &announced_;
  return o;
}

// A unit's status is its first program's, which is told to nobody but this keeper once init has reaped it: what lives on
// without it (a daemon that went into the background) takes it along.
Result<bool> PodSource::has_main(std::span<const FrozenProcess> processes) const {
  if (!options_.own_pid_namespace || options_.main_pid == 0) return true;
  if (std::ranges::find(processes, options_.main_pid, &FrozenProcess::pid) != processes.end()) return true;
  const auto lives_on = [&](const FrozenProcess& p) { return !p.zombie && p.host_pid != options_.root; };
  if (!std::ranges::any_of(processes, lives_on)) return fail(Code::kGone, "the unit has ended");
  return false;
}

// What forbids a move may be gone a moment later (an event that the program is about to read), so the unit runs on for
// that moment and is stopped again; its memory stays tracked.
Result<std::string> PodSource::freeze() {
  timings_.clear();
  watch_ = {};
  for (int tries = 0;; tries++) {
    auto captured = stop_and_look();
    if (captured) return give_outline();
    const auto passing = [](const engine::Blocker& b) { return passes(b.code); };
    const bool again = captured.error().code == Code::kRefused && capture_ && !capture_->blockers().empty() &&
                       std::ranges::all_of(capture_->blockers(), passing) && tries < kLooks;
    if (!again) {
      (void)thaw();
      return std::unexpected(captured.error());
    }
    TRY_DO(frozen_->thaw());
    frozen_.reset();
    capture_.reset();
    const timespec moment{0, 1'000'000L * (tries + 1)};
    ::nanosleep(&moment, nullptr);
  }
}

Result<void> PodSource::stop_and_look() {
  std::vector<engine::Blocker> blockers;
  const auto listed = [](std::string text, std::span<const engine::Blocker> list) {
    for (const auto& b : list) text += "\n  " + b.object + ": " + b.reason;
    return text;
  };
  FreezeOptions how{.kill_with_tracer = options_.own_pid_namespace,
                    .looks = true,
                    .init = options_.own_pid_namespace ? options_.root : 0,
                    .scan = {}};
  if (!trackers_.empty()) how.scan = [this](pid_t pid, const Look& look) { return scan_tracked(pid, look); };
  auto frozen = Frozen::freeze(proc_, options_.root, how, blockers);
  if (!frozen) {
    Error e = frozen.error();
    e.text = listed(e.text, blockers);
    return std::unexpected(e);
  }
  frozen_.emplace(std::move(*frozen));
  time("stop");
  TRY(const bool main_lives, has_main(frozen_->processes()));
  const PinnedThread here(frozen_->cpu());
  capture_ = std::make_unique<Capture>(proc_, frozen_->processes(), &*frozen_, capture_options(false));
  TRY_DO(capture_->run());
  if (!main_lives) capture_main_status();
  time("state");
  if (!capture_->blockers().empty())
    return fail(Code::kRefused, listed("the unit can't be moved", capture_->blockers()));
  return {};
}

// Init may stand between reaping it and telling of it.
void PodSource::capture_main_status() {
  if (const auto status = options_.main_status ? options_.main_status() : std::nullopt)
    capture_->state().set_main_status(*status);
  else
    capture_->refuse("main-ending", "the unit's program", {});
}

Result<void> PodSource::find_pages(SpaceSource& source, ScanResult& found) {
  if (source.object.valid()) {
    TRY(const auto runs, scan_object(source.object, source.id, source.size));
    found.pages.insert(found.pages.end(), runs.begin(), runs.end());
    return reader_.add_object(source.id, std::move(source.object));
  }
  if (!is_tracked(source.host_pid)) reader_.add_process(source.id, source.host_pid);
  return find_private_pages(source, found);
}

bool PodSource::is_tracked(pid_t host_pid) const { return trackers_.contains(host_pid) && !broken_.contains(host_pid); }

// Beside the capture, while the tracer makes calls in other processes.
Result<ScanResult> PodSource::scan_tracked(pid_t host_pid, const Look& look) const {
  ScanResult found;
  if (!is_tracked(host_pid)) return found;
  TRY(const auto& maps, look.maps);
  std::vector<MapEntry> changed;
  std::ranges::copy_if(maps, std::back_inserter(changed), [](const MapEntry& a) { return !travels_whole(a); });
  TRY_DO(trackers_.at(host_pid).last_scan(changed, found));
  return found;
}

Result<void> PodSource::find_private_pages(const SpaceSource& source, ScanResult& found) const {
  const bool tracked = is_tracked(source.host_pid);
  std::vector<MapEntry> changed;  // areas of which only what has changed is still missing
  Fd pagemap;
  for (size_t i = 0; i < source.areas.size(); i++) {
    const MapEntry& area = source.areas[i];
    if (source.whole_file[i]) {
      found.pages.push_back({source.id, area.start, area.end - area.start});
    } else if (tracked) {
      changed.push_back(area);
    } else {
      if (!pagemap.valid()) {
        TRY(pagemap, proc_.open(source.host_pid, "pagemap", O_RDONLY));
      }
      TRY_DO(scan_area(pagemap, source.id, area, false, found.pages));
    }
  }
  return tracked ? trackers_.at(source.host_pid).last_scan(changed, found) : Result<void>{};
}

// All spaces in one list: a hundred small processes are a few frames then, not a hundred.
Result<ScanResult> PodSource::find_all_pages() {
  constexpr size_t kFew = 8;  // to start a thread takes as long as these
  auto& sources = capture_->sources();
  std::vector<ScanResult> of_each(sources.size());
  std::vector<size_t> tracked;
  for (size_t i = 0; i < sources.size(); i++) {
    if (sources[i].object.valid() || !is_tracked(sources[i].host_pid)) {
      TRY_DO(find_pages(sources[i], of_each[i]));
      continue;
    }
    auto scanned = frozen_->take_scan(*frozen_->find(sources[i].host_pid));
    if (!scanned) {
      tracked.push_back(i);
      continue;
    }
    TRY(of_each[i], std::move(*scanned));
    for (size_t k = 0; k < sources[i].areas.size(); k++) {
      const MapEntry& area = sources[i].areas[k];
      if (sources[i].whole_file[k]) of_each[i].pages.push_back({sources[i].id, area.start, area.end - area.start});
    }
  }
  TRY_DO(share_work(tracked.size() > kFew ? 2 : 1, tracked.size(),
                    [&](unsigned, size_t i) { return find_private_pages(sources[tracked[i]], of_each[tracked[i]]); }));
  ScanResult all;
  for (const auto& found : of_each) {
    all.pages.insert(all.pages.end(), found.pages.begin(), found.pages.end());
    all.holes.insert(all.holes.end(), found.holes.begin(), found.holes.end());
  }
  return all;
}

std::optional<std::vector<engine::FileMapping>> PodSource::writable_file_mappings() {
  if (!frozen_) return std::nullopt;
  std::vector<engine::FileMapping> all;
  for (const auto& process : frozen_->processes()) {
    if (process.zombie || is_init(process)) continue;
    const auto& maps = frozen_->look(process).maps;
    if (!maps) return std::nullopt;
    for (const auto& area : *maps) {
      if (area.shared && (area.prot & PROT_WRITE) != 0 && area.inode != 0)
        all.push_back({process.host_pid, area.start, area.end});
    }
  }
  return all;
}

bool PodSource::is_init(const FrozenProcess& process) const {
  return options_.own_pid_namespace && process.host_pid == options_.root;
}

// Where the state that was captured has memory that travels.
std::vector<PageRun> PodSource::all_memory() {
  constexpr uint64_t kPage = 4096;
  std::vector<PageRun> out;
  for (const auto& source : capture_->sources()) {
    for (const auto& area : source.areas) out.push_back({source.id, area.start, area.end - area.start});
    if (source.size > 0) out.push_back({source.id, 0, (source.size + kPage - 1) / kPage * kPage});
  }
  return out;
}

Result<std::string> PodSource::capture(engine::PageSink& sink) {
  watch_.lap_ms();
  TRY(const ScanResult found, find_all_pages());
  time("scan");
  if (!found.holes.empty()) TRY_DO(sink.holes(found.holes));
  TRY_DO(sink.pages(found.pages, reader_));
  if (!trackers_.empty()) sink.only(all_memory());
  time("memory");
  return capture_->state().SerializeAsString();
}

Result<engine::LateCapture> PodSource::capture_lazily(engine::PageSink& sink) {
  watch_.lap_ms();
  engine::LateCapture out;
  ScanResult now;
  for (auto& source : capture_->sources()) {
    const auto& processes = capture_->state().processes();
    const auto process = std::ranges::find(processes, source.id, &pb::Process::space);
    if (source.object.valid() || process == processes.end()) {
      TRY_DO(find_pages(source, now));
      continue;
    }
    reader_.add_process(source.id, source.host_pid);
    TRY(LateSplit split, split_late(proc_, source, *process));
    now.pages.insert(now.pages.end(), split.now.begin(), split.now.end());
    out.later.insert(out.later.end(), split.later.begin(), split.later.end());
  }
  std::ranges::sort(out.later, {}, [](const PageRun& r) { return std::pair(r.space, r.address); });
  time("scan");
  TRY_DO(sink.pages(now.pages, reader_));
  out.reader = &reader_;
  out.state = capture_->state().SerializeAsString();
  time("memory");
  return out;
}

Result<void> PodSource::hold_memory() {
  return frozen_ ? frozen_->hold_memory(options_.own_pid_namespace ? options_.root : 0) : Result<void>();
}

Result<void> PodSource::thaw() {
  Result<void> done;
  if (frozen_) done = frozen_->thaw();
  frozen_.reset();
  capture_.reset();
  // Closing a userfaultfd takes the marks off all of its memory, 5 to 11 ms a GiB: who was let go doesn't wait for it.
  end_tracking_ = std::jthread([trackers = std::move(trackers_)]() mutable { trackers.clear(); });
  trackers_.clear();
  broken_.clear();
  reader_.clear();
  return done;
}

Result<void> PodSource::discard() {
  if (frozen_) TRY_DO(frozen_->kill_all());
  frozen_.reset();
  capture_.reset();
  trackers_.clear();
  reader_.clear();
  return {};
}

Result<std::unique_ptr<engine::SourceEngine>> make_source(SourceOptions options) {
  if (options.root <= 0) return fail(Code::kGone, "the unit has ended");
  if (!options.proc.valid()) {
    TRY(auto proc, ProcFs::open());
    return std::make_unique<PodSource>(std::move(proc), std::move(options));
  }
  ProcFs proc(std::move(options.proc));
  return std::make_unique<PodSource>(std::move(proc), std::move(options));
}

}  // namespace godwit::pod
