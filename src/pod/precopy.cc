// The source side of the engine while the unit runs: inspection, outlines, and rounds of pre-copy.
//
// An outline says which processes and areas there are. It is given at the inspection, after each round in which something of
// that has changed, and at the freeze; pages go only into areas that an outline has announced.
#include <algorithm>
#include <cstdio>

#include "base/heap.h"
#include "base/log.h"
#include "pod/cpu.h"
#include "pod/pinning.h"
#include "pod/source.h"

namespace godwit::pod {

// Whatever was missed on the way, a tree whose root isn't there any more has ended.
template <typename T>
Result<T> PodSource::unless_ended(Result<T> result) const {
  if (!result && proc_.has_ended(options_.root))
    return fail(Code::kGone, "process " + std::to_string(options_.root) + " has ended, or never was");
  return result;
}

Result<engine::Inspection> PodSource::inspect() { return unless_ended(look()); }

void PodSource::look_at_areas(std::span<const FrozenProcess> processes) {
  announced_.clear();
  for (const auto& p : processes) {
    if (p.zombie || (options_.own_pid_namespace && p.host_pid == options_.root)) continue;
    if (auto areas = proc_.smaps(p.host_pid)) announced_[p.host_pid] = std::move(*areas);
  }
}

Result<engine::Inspection> PodSource::look() {
  TRY(auto processes, look_at_tree(proc_, options_.root));
  TRY_DO(has_main(processes));
  look_at_areas(processes);
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

std::string PodSource::give_outline() {
  auto outline = capture_->outline();
  pb::Outline clocks;
  clocks.mutable_host()->Swap(outline.mutable_host());
  outline.clear_host();
  clocks.set_descriptors_below(outline.descriptors_below());  // a hint, so none that anything is built anew for
  outline.clear_descriptors_below();
  auto text = outline.SerializeAsString();
  same_outline_ = text == outline_given_;
  outline_given_ = text;
  clocks.AppendToString(&text);  // two messages in a row are one (protobuf's merge)
  return text;
}

Result<std::string> PodSource::look_for_outline() {
  TRY(auto processes, look_at_tree(proc_, options_.root));
  look_at_areas(processes);
  capture_ = std::make_unique<Capture>(proc_, processes, nullptr, capture_options(true));
  TRY_DO(capture_->run_outline());
  note_spaces(capture_->state());
  auto outline = give_outline();
  capture_.reset();
  return outline;
}

Result<void> PodSource::start_precopy() {
  if (end_tracking_.joinable()) end_tracking_.join();  // memory has one userfaultfd at a time
  std::vector<engine::Blocker> blockers;
  TRY(auto frozen, Frozen::freeze(proc_, options_.root, {.kill_with_tracer = options_.own_pid_namespace}, blockers));
  const PinnedThread here(frozen.cpu());
  // What isn't tracked is sent while the unit is frozen: the same in all however many they are.
  const uint64_t tracked_file_bytes = WriteTracker::kTrackedFileBytes / std::max<size_t>(1, frozen.processes().size());
  for (auto& process : frozen.processes()) {
    const auto space = spaces_.find(process.host_pid);
    if (process.zombie || space == spaces_.end()) continue;
    auto tracker = WriteTracker::start(proc_, frozen, process, space->second, tracked_file_bytes);
    if (!tracker) {
      log::info("no write tracking for {}: {}", process.name(), tracker.error().message());
      continue;
    }
    trackers_.insert_or_assign(process.host_pid, std::move(*tracker));
    reader_.add_process(space->second, process.host_pid);
  }
  TRY_DO(frozen.thaw());
  own_heap();  // a keeper's is its init's, too
  return {};
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
  if (!knew) {
    TRY(const bool knows, any_reads_past_page_tables());
    if (knows) TRY_DO(distrust_scans());  // opened beside the scan
  }
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

}  // namespace godwit::pod
