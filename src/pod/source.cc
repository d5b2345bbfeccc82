// The source side of the engine: inspect, pre-copy, freeze, capture.
#include <fcntl.h>

#include <algorithm>
#include <ctime>
#include <set>
#include <thread>

#include "base/log.h"
#include "pod/capture/capture.h"
#include "pod/capture/late.h"
#include "pod/cpu.h"
#include "pod/memory.h"
#include "pod/pinning.h"
#include "pod/pod.h"
#include "pod/write_tracker.h"

namespace godwit::pod {
namespace {

constexpr int kLooks = 12;  // 78 ms in all

class PodSource final : public engine::SourceEngine {
 public:
  PodSource(ProcFs proc, SourceOptions options)
      : proc_(std::move(proc)), options_(std::move(options)), reader_(proc_) {}

  Result<engine::Inspection> inspect() override;
  Result<void> start_precopy() override;
  Result<engine::Round> precopy_round(engine::PageSink& sink, std::string& outline) override;
  Result<std::string> freeze() override;
  bool same_outline() const override { return same_outline_; }
  Result<std::string> capture(engine::PageSink& sink) override;
  Result<engine::LateCapture> capture_lazily(engine::PageSink& sink) override;
  Result<void> hold_memory() override;
  Result<void> thaw() override;
  Result<void> discard() override;
  std::vector<engine::Timing> timings() const override { return timings_; }

 private:
  template <typename T>
  Result<T> unless_ended(Result<T> result) const;
  Result<engine::Inspection> look();
  CaptureOptions capture_options(bool inspecting) const;
  std::string give_outline();
  Result<std::string> look_for_outline();
  Result<void> stop_and_look();
  std::vector<PageRun> all_memory();
  Result<void> find_pages(SpaceSource& source, ScanResult& found);
  Result<bool> scan_written(ScanResult& found);
  Result<bool> any_reads_past_page_tables() const;
  Result<void> distrust_scans();
  void note_spaces(const pb::PodState& state);
  Result<bool> has_main(std::span<const FrozenProcess> processes) const;
  void capture_main_status();
  void time(const char* step) { timings_.push_back({step, watch_.lap_ms()}); }

  ProcFs proc_;
  SourceOptions options_;
  MemoryReader reader_;
  std::optional<Frozen> frozen_;
  std::unique_ptr<Capture> capture_;
  std::map<pid_t, SpaceId> spaces_;                        // by host pid, once announced in an outline
  std::unique_ptr<KnownShared> shared_ = std::make_unique<KnownShared>();
  std::map<pid_t, std::vector<MapEntry>> announced_;       // areas in the newest outline
  std::map<pid_t, WriteTracker> trackers_;
  std::jthread end_tracking_;  // of a pre-copy that was given up or has become an image
  std::set<pid_t> broken_;  // replaced their memory since tracking began
  std::string outline_given_;  // the last one, without the clocks
  bool same_outline_ = false;
  std::vector<engine::Timing> timings_;
  Stopwatch watch_;
};

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

// What the outline says is what the destination builds, and pages go nowhere else: areas that came or went between our
// look at them and the outline's are not announced yet.
void PodSource::note_spaces(const pb::PodState& state) {
  std::map<pid_t, std::vector<MapEntry>> seen;
  std::swap(seen, announced_);
  for (const auto& space : state.spaces()) {
    const auto host = capture_->host_pid(space.pid());
    if (!host) continue;
    spaces_[*host] = space.id();
    const auto looked = seen.find(*host);
    if (looked == seen.end()) continue;
    std::map<uint64_t, const pb::Area*> told;
    for (const auto& area : space.areas()) told[area.start()] = &area;
    std::erase_if(looked->second, [&](const MapEntry& m) {
      const auto it = told.find(m.start);
      return is_dumped_privately(m) && (it == told.end() || it->second->end() != m.end || it->second->shared());
    });
    announced_[*host] = std::move(looked->second);
  }
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

// Whatever was missed on the way, a tree whose root isn't there any more has ended.
template <typename T>
Result<T> PodSource::unless_ended(Result<T> result) const {
  if (!result && proc_.has_ended(options_.root))
    return fail(Code::kGone, "process " + std::to_string(options_.root) + " has ended, or never was");
  return result;
}

Result<engine::Inspection> PodSource::inspect() { return unless_ended(look()); }

Result<engine::Inspection> PodSource::look() {
  TRY(auto processes, look_at_tree(proc_, options_.root));
  TRY_DO(has_main(processes));
  announced_.clear();
  for (const auto& p : processes) {
    if (p.zombie || (options_.own_pid_namespace && p.host_pid == options_.root)) continue;
    if (auto areas = proc_.smaps(p.host_pid)) announced_[p.host_pid] = std::move(*areas);
  }
  capture_ = std::make_unique<Capture>(proc_, processes, nullptr, capture_options(true));
  TRY_DO(capture_->run());
  note_spaces(capture_->state());
  engine::Inspection found;
  found.blockers = capture_->blockers();
  found.outline = give_outline();
  pb::Demands demands;
  *demands.mutable_host() = capture_->state().host();
  for (const auto& flag : cpu_features()) demands.add_cpu_features(flag);
  demands.set_own_pid_namespace(options_.own_pid_namespace);
  for (const auto& p : processes) {
    demands.add_pids(p.pid);
    long pages = 0, resident = 0;
    if (auto statm = proc_.read(p.host_pid, "statm");
        statm && std::sscanf(statm->c_str(), "%ld %ld", &pages, &resident) == 2) {
      found.memory_bytes += static_cast<uint64_t>(resident) * 4096;
    }
  }
  demands.set_memory_bytes(found.memory_bytes);
  for (const auto& [key, file] : capture_->file_demands()) *demands.add_files() = file;
  found.demands = demands.SerializeAsString();
  capture_.reset();
  return found;
}

Result<void> PodSource::start_precopy() {
  if (end_tracking_.joinable()) end_tracking_.join();  // memory has one userfaultfd at a time
  std::vector<engine::Blocker> blockers;
  TRY(auto frozen, Frozen::freeze(proc_, options_.root, {.kill_with_tracer = options_.own_pid_namespace}, blockers));
  const PinnedThread here(frozen.cpu());
  for (auto& process : frozen.processes()) {
    const auto space = spaces_.find(process.host_pid);
    if (process.zombie || space == spaces_.end()) continue;
    auto tracker = WriteTracker::start(proc_, frozen, process, space->second);
    if (!tracker) {
      log::info("no write tracking for {}: {}", process.name(), tracker.error().message());
      continue;
    }
    trackers_.insert_or_assign(process.host_pid, std::move(*tracker));
    reader_.add_process(space->second, process.host_pid);
  }
  return frozen.thaw();
}

Result<bool> PodSource::any_reads_past_page_tables() const {
  for (const auto& [pid, tracker] : trackers_) {
    if (broken_.contains(pid)) continue;
    TRY(const bool reads, reads_past_page_tables(proc_, pid));
    if (reads) return true;
  }
  return false;
}

Result<void> PodSource::distrust_scans() {
  for (auto& [pid, tracker] : trackers_) {
    if (broken_.contains(pid)) continue;
    const auto areas = proc_.maps(pid);
    const auto done = areas ? tracker.distrust(*areas) : Result<void>{};  // one that ended is found by the next scan
    if (!done && done.error().code != Code::kGone) return done;
  }
  return {};
}

// Pages go only into areas that the destination has been told of: new ones are announced now and sent in the next round.
Result<engine::Round> PodSource::precopy_round(engine::PageSink& sink, std::string& outline) {
  engine::Round round;
  Stopwatch watch;
  ScanResult found;
  std::optional<Frozen> still;
  TRY(const bool knew, any_reads_past_page_tables());
  if (knew) {
    std::vector<engine::Blocker> blockers;
    TRY(still, Frozen::freeze(proc_, options_.root, {.kill_with_tracer = options_.own_pid_namespace}, blockers));
  }
  TRY(bool changed, scan_written(found));
  if (still) TRY_DO(still->thaw());
  TRY(const bool knows, any_reads_past_page_tables());
  if (knows && !knew) TRY_DO(distrust_scans());  // opened beside it
  round.scan_ms = watch.lap_ms();
  round.pages_dirty = round.pages_sent = found.page_bytes() / 4096;
  TRY_DO(sink.pages(found.pages, reader_));
  if (changed) {
    TRY(outline, unless_ended(look_for_outline()));
  }
  return round;
}

// What was written since the last round, into `found`. Have areas or processes come or gone?
Result<bool> PodSource::scan_written(ScanResult& found) {
  bool changed = false;
  for (auto& [pid, tracker] : trackers_) {
    if (broken_.contains(pid)) continue;
    auto now = proc_.maps(pid);
    if (!now) {
      broken_.insert(pid);
      changed = true;
      continue;
    }
    const auto& before = announced_[pid];
    const bool same =
        std::ranges::equal(*now, before, [](const MapEntry& a, const MapEntry& b) { return a.same_place(b); });
    changed = changed || !same;
    std::vector<MapEntry> both;  // what is announced of each area
    for (const auto& area : *now) {
      for (const auto& old : before) {
        if (old.end <= area.start || area.end <= old.start || !is_dumped_privately(old)) continue;
        MapEntry piece = area;
        piece.start = std::max(area.start, old.start);
        piece.end = std::min(area.end, old.end);
        both.push_back(std::move(piece));
      }
    }
    auto scanned = tracker.scan(both, found);
    if (!scanned) {
      if (scanned.error().code != Code::kGone) return std::unexpected(scanned.error());
      broken_.insert(pid);
      spaces_.erase(pid);  // a new memory is a new space
      changed = true;
    }
  }
  return changed;
}

std::string PodSource::give_outline() {
  auto outline = capture_->outline();
  pb::Outline clocks;
  clocks.mutable_host()->Swap(outline.mutable_host());
  outline.clear_host();
  auto text = outline.SerializeAsString();
  same_outline_ = text == outline_given_;
  outline_given_ = text;
  clocks.AppendToString(&text);  // two messages in a row are one (protobuf's merge)
  return text;
}

Result<std::string> PodSource::look_for_outline() {
  TRY(auto processes, look_at_tree(proc_, options_.root));
  announced_.clear();
  for (const auto& p : processes) {
    if (p.zombie || (options_.own_pid_namespace && p.host_pid == options_.root)) continue;
    if (auto areas = proc_.smaps(p.host_pid)) announced_[p.host_pid] = std::move(*areas);
  }
  capture_ = std::make_unique<Capture>(proc_, processes, nullptr, capture_options(true));
  TRY_DO(capture_->run_outline());
  note_spaces(capture_->state());
  auto outline = give_outline();
  capture_.reset();
  return outline;
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
  const FreezeOptions how{.kill_with_tracer = options_.own_pid_namespace, .looks = true};
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
  const auto tracker = trackers_.find(source.host_pid);
  const bool tracked = tracker != trackers_.end() && !broken_.contains(source.host_pid);
  if (!tracked) reader_.add_process(source.id, source.host_pid);
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
  return tracked ? tracker->second.last_scan(changed, found) : Result<void>{};
}

// All spaces in one list: a hundred small processes are a few frames then, not a hundred.
/// Where the state that was captured has memory that travels.
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
  ScanResult found;
  for (auto& source : capture_->sources()) TRY_DO(find_pages(source, found));
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

}  // namespace

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
