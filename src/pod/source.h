// Private to source.cc and precopy.cc: the source side of the engine, of one unit.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "pod/capture/capture.h"
#include "pod/freeze.h"
#include "pod/memory.h"
#include "pod/pod.h"
#include "pod/write_tracker.h"

namespace godwit::pod {

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
  std::optional<std::vector<engine::FileMapping>> writable_file_mappings() override;
  Result<void> hold_memory() override;
  Result<void> thaw() override;
  Result<void> discard() override;
  std::vector<engine::Timing> timings() const override { return timings_; }

 private:
  CaptureOptions capture_options(bool inspecting) const;
  Result<bool> has_main(std::span<const FrozenProcess> processes) const;
  Result<void> stop_and_look();
  void capture_main_status();
  Result<void> find_pages(SpaceSource& source, ScanResult& found);
  bool is_tracked(pid_t host_pid) const;
  Result<ScanResult> scan_tracked(pid_t host_pid, const Look& look) const;
  Result<void> find_private_pages(const SpaceSource& source, ScanResult& found) const;
  Result<ScanResult> find_all_pages();
  bool is_init(const FrozenProcess& process) const;
  std::vector<PageRun> all_memory();
  // precopy.cc
  template <typename T>
  Result<T> unless_ended(Result<T> result) const;
  Result<engine::Inspection> look();
  void look_at_areas(std::span<const FrozenProcess> processes);
  std::string give_outline();
  Result<std::string> look_for_outline();
  void note_spaces(const pb::PodState& state);
  Result<bool> scan_written(ScanResult& found);
  Result<bool> any_reads_past_page_tables() const;
  Result<void> distrust_scans();
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

}  // namespace godwit::pod
