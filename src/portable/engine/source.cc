// The source's half: see engine.h.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <set>

#include "base/base.h"
#include "pod/freeze.h"
#include "pod/memory.h"
#include "pod/pinning.h"
#include "pod/pod.h"
#include "pod/write_tracker.h"
#include "portable/engine/engine.h"
#include "portable/engine/memory.h"
#include "portable/engine/sockets.h"
#include "portable/portable.h"
#include "portable/protocol.h"
#include "portable/request.h"

namespace godwit::portable {
namespace {

class PortableSource : public engine::SourceEngine {
 public:
  PortableSource(SourceOptions options, pod::ProcFs proc)
      : options_(std::move(options)), proc_(std::move(proc)), reader_(proc_) {}
  ~PortableSource() override = default;

  Result<engine::Inspection> inspect() override;
  Result<void> start_precopy() override;
  Result<engine::Round> precopy_round(engine::PageSink& sink, std::string& outline) override;
  Result<std::string> freeze() override;
  Result<std::string> capture(engine::PageSink& sink) override;
  Result<void> thaw() override;
  Result<void> discard() override;
  std::vector<engine::Timing> timings() const override { return timings_; }

 private:
  Result<void> find_main();
  Result<void> look_at_descriptors(engine::Inspection& found, pb::Demands& demands);
  Result<void> look_at_package(engine::Inspection& found, pb::Demands& demands);
  Result<std::string> outline();
  Result<void> find_last(pod::ScanResult& found);
  Result<void> check_files() const;
  void time(const char* step) { timings_.push_back({step, lap_.lap_ms()}); }

  SourceOptions options_;
  pod::ProcFs proc_;
  pod::MemoryReader reader_;
  pid_t main_ = 0;
  std::string program_;
  std::set<std::string> files_;  ///< that were found open at the inspection
  Layout layout_;
  pb::Outline announced_;
  std::optional<pod::WriteTracker> tracker_;
  std::optional<Request> request_;
  std::string image_;
  std::vector<engine::Timing> timings_;
  Stopwatch lap_;
};

Result<void> PortableSource::find_main() {
  main_ = 0;
  for (const pid_t pid : pod::processes_below(proc_.dir(), options_.init))
    if (pod::pid_inside(proc_.dir(), pid) == options_.main_pid) main_ = pid;
  if (main_ == 0) return fail(Code::kGone, "the unit's program has ended");
  reader_.add_process(kSpace, main_);
  return {};
}

/// What the program itself would refuse when it is asked: so that it needn't be stopped to find out.
Result<void> PortableSource::look_at_descriptors(engine::Inspection& found, pb::Demands& demands) {
  TRY(const auto numbers, proc_.list(main_, "fd"));
  TRY(const Fd process, sys::pidfd_open(main_));
  files_.clear();
  Holders holders(proc_, main_);
  for (const auto& number : numbers) {
    const auto link = proc_.link(main_, "fd/" + number);
    const auto info = proc_.read(main_, "fdinfo/" + number);
    if (!link || !info) continue;  // closed meanwhile
    const std::string object = fmt::format("fd {} of {}", number, program_);
    const bool standard = number.size() == 1 && number[0] <= '2';
    if (link->empty() || link->front() != '/') {
      if (standard) continue;
      if (auto blocker = look_at_special(process, std::atoi(number.c_str()), *link, object, holders))
        found.blockers.push_back(std::move(*blocker));
      else if (gives_numbers(*link))
        demands.add_numbers(object);
      continue;
    }
    struct stat st{};
    const std::string path = fmt::format("{}/fd/{}", main_, number);
    if (::fstatat(proc_.dir().get(), path.c_str(), &st, 0) != 0) continue;
    if (S_ISFIFO(st.st_mode) && !standard) found.blockers.push_back(make_blocker("portable-pipe", object, *link));
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) continue;
    if (link->ends_with(" (deleted)") && st.st_nlink == 0) {
      found.blockers.push_back(make_blocker("portable-file-gone", object, *link));
      continue;
    }
    unsigned flags = 0;
    if (const size_t at = info->find("flags:"); at != std::string::npos)
      std::sscanf(info->c_str() + at, "flags: %o", &flags);
    auto& file = *demands.add_files();
    file.set_path(*link);
    file.set_use(S_ISDIR(st.st_mode)               ? wire::FileDemand::DIRECTORY
                 : (flags & O_ACCMODE) == O_RDONLY ? wire::FileDemand::OPEN_READ
                                                   : wire::FileDemand::OPEN_WRITE);
    file.set_size(static_cast<uint64_t>(st.st_size));
    file.set_used_by(object);
    files_.insert(*link);
  }
  return {};
}

Result<void> PortableSource::look_at_package(engine::Inspection& found, pb::Demands& demands) {
  TRY(program_, package_path(proc_.dir(), main_));
  const auto file = sys::open(program_, O_RDONLY);
  const auto package = file ? read_package(*file) : std::unexpected(file.error());
  if (!package) {
    found.blockers.push_back(make_blocker("portable-program-gone", program_, package.error().message()));
    return {};
  }
  for (const auto& part : package->parts) demands.add_architectures(part.architecture);
  demands.set_program(program_);
  auto& executable = *demands.add_files();
  executable.set_path(program_);
  executable.set_use(wire::FileDemand::EXECUTABLE);
  executable.set_used_by("the unit's program");
  TRY(const std::string cwd, proc_.link(main_, "cwd"));
  auto& directory = *demands.add_files();
  directory.set_path(cwd);
  directory.set_use(wire::FileDemand::DIRECTORY);
  directory.set_used_by("working directory of " + program_);
  return {};
}

Result<engine::Inspection> PortableSource::inspect() {
  TRY_DO(find_main());
  engine::Inspection found;
  const auto ready = is_ready(proc_.dir(), main_);
  if (!ready || !*ready) {
    found.blockers.push_back(make_blocker("portable-starting", "the unit's program"));
    return found;
  }
  pb::Demands demands;
  TRY_DO(look_at_package(found, demands));
  TRY_DO(look_at_descriptors(found, demands));
  if (options_.has_input) found.blockers.push_back(make_blocker("portable-input", program_));
  for (const pid_t child : proc_.children(main_).value_or(std::vector<pid_t>{}))
    found.blockers.push_back(
        make_blocker("portable-child", fmt::format("pid {}", pod::pid_inside(proc_.dir(), child))));
  TRY(found.outline, outline());
  announced_.ParseFromString(found.outline);
  long pages = 0, resident = 0;
  if (const auto statm = proc_.read(main_, "statm");
      statm && std::sscanf(statm->c_str(), "%ld %ld", &pages, &resident) == 2)
    found.memory_bytes = static_cast<uint64_t>(resident) * kPage;
  demands.set_memory_bytes(found.memory_bytes);
  found.demands = demands.SerializeAsString();
  return found;
}

Result<std::string> PortableSource::outline() {
  TRY(layout_, layout_of(proc_, main_));
  pb::Outline outline;
  outline.set_program(program_);
  fill(layout_, outline);
  return outline.SerializeAsString();
}

// A round of tracking begins with one short stop of the process, in which the kernel's tracker is made there.
Result<void> PortableSource::start_precopy() {
  std::vector<engine::Blocker> blockers;
  TRY(auto frozen, pod::Frozen::freeze(proc_, main_, {.kill_with_tracer = true}, blockers));
  const pod::PinnedThread here(frozen.cpu());
  auto* process = frozen.find(main_);
  if (process == nullptr) return fail(Code::kGone, "the unit's program has ended");
  auto tracker = pod::WriteTracker::start(proc_, frozen, *process, kSpace);
  if (tracker)
    tracker_.emplace(std::move(*tracker));
  else
    log::info("no write tracking: {}", tracker.error().message());  // then all of it is sent while it stands
  return frozen.thaw();
}

Result<engine::Round> PortableSource::precopy_round(engine::PageSink& sink, std::string& renewed) {
  engine::Round round;
  if (!tracker_) return round;
  lap_.lap_ms();
  TRY(const std::string now, outline());
  pod::ScanResult found;
  // Pages go only where the destination has mapped something: what came since is announced now, and sent by the next round.
  TRY_DO(tracker_->scan(announced_part(layout_, announced_), found));
  round.scan_ms = lap_.lap_ms();
  for (const auto& run : found.pages) round.pages_sent += run.length / kPage;
  round.pages_dirty = round.pages_sent;
  TRY_DO(sink.pages(found.pages, reader_));
  pb::Outline outline;
  outline.ParseFromString(now);
  if (now != announced_.SerializeAsString()) renewed = now;
  announced_ = std::move(outline);
  return round;
}

Result<std::string> PortableSource::freeze() {
  timings_.clear();
  lap_ = {};
  TRY(const Fd image, sys::memfd("portable-image"));
  TRY(auto request, Request::begin(proc_.dir(), main_));
  TRY(const uint64_t bytes, request.ask(image, GODWIT_REQUEST_APART | GODWIT_REQUEST_HELD));
  request_.emplace(std::move(request));
  time("adaptation points");
  image_.resize(bytes);
  const auto read = io::pread_full(image.get(), std::as_writable_bytes(std::span(image_)), 0);
  const auto files = read ? check_files() : read;
  auto text = files ? outline() : std::unexpected(files.error());
  if (!text) request_.reset();  // it goes on
  return text;
}

/// The open files that the image names, against those that the destination was asked for.
Result<void> PortableSource::check_files() const {
  size_t at = sizeof(godwit_image_header);
  while (at + sizeof(godwit_image_record) <= image_.size()) {
    godwit_image_record record{};
    image_.copy(reinterpret_cast<char*>(&record), sizeof record, at);
    at += sizeof record;
    if (record.length > image_.size() - at) break;
    if (record.type == GODWIT_IMAGE_DESCRIPTOR && record.length >= sizeof(godwit_image_descriptor)) {
      godwit_image_descriptor descriptor{};
      image_.copy(reinterpret_cast<char*>(&descriptor), sizeof descriptor, at);
      const auto length = descriptor.kind == GODWIT_FD_FILE ? record.length - sizeof descriptor : 0;
      const std::string path = image_.substr(at + sizeof descriptor, length);
      if (descriptor.kind == GODWIT_FD_FILE && !files_.contains(path))
        return fail(Code::kChanged, "it has opened " + path + " while it was moved");
    }
    at += record.length;
  }
  return {};
}

Result<void> PortableSource::find_last(pod::ScanResult& found) {
  TRY(const Fd pagemap, proc_.open(main_, "pagemap", O_RDONLY));
  std::vector<pod::MapEntry> tracked;
  for (const auto& map : layout_.maps) {
    // The destination's data is all zero, and nothing there knows what a file or another process had in these.
    const bool whole = map.shared || map.inode != 0;
    if (whole)
      found.pages.push_back({kSpace, map.start, map.end - map.start});
    else if (tracker_)
      tracked.push_back(map);
    else
      TRY_DO(pod::scan_area(pagemap, kSpace, map, true, found.pages));
  }
  if (tracker_) TRY_DO(tracker_->last_scan(tracked, found));
  std::ranges::sort(found.pages, {}, &engine::PageRun::address);
  return {};
}

Result<std::string> PortableSource::capture(engine::PageSink& sink) {
  pod::ScanResult found;
  TRY_DO(find_last(found));
  time("scan");
  TRY_DO(sink.holes(found.holes));
  TRY_DO(sink.pages(found.pages, reader_));
  time("memory");
  pb::State state;
  state.set_image(std::move(image_));
  return state.SerializeAsString();
}

Result<void> PortableSource::thaw() {
  request_.reset();
  return {};
}

Result<void> PortableSource::discard() {
  if (!request_) return {};
  auto ended = request_->commit();
  request_.reset();
  return ended;
}

}  // namespace

Result<std::unique_ptr<engine::SourceEngine>> make_source(SourceOptions options) {
  TRY(auto own, sys::dup(options.proc.get()));
  return std::make_unique<PortableSource>(std::move(options), pod::ProcFs(std::move(own)));
}

}  // namespace godwit::portable
