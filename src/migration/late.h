// Lazy moves: memory that follows after the commit. What both drivers need for it.
//
// The problem. The unit runs at the destination while most of its memory still lies at the source. A thread that touches
// a missing page must wait as short as possible, whatever else the streams carry at that moment; and a page that was
// delivered twice, late or not at all must never be seen as content.
//
// The idea. Complete lists the runs that follow (`later`); the source's copy stands still, so each page has one content
// for ever and order no longer matters. Pages that a thread waits for are asked for and answered on stream 0, which
// carries nothing else then, by the listening threads of both sides: no step of either driver is in the way, so pages can
// be had from Complete on, also while the unit is being restored. All pages are pushed on the data streams from the
// moment that the unit runs. The engine at the destination takes each page once and knows what is missing.
//
// End. AllSent: whatever is still missing behind its mark is an error. Delivered: nothing is missing; only then may the
// source destroy its copy. A link that is lost before it ends the unit: at the destination the engine ends it (lose_late),
// at the source the copy, which the commit has disowned, is discarded.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "migration/session.h"

namespace godwit::migration {

inline constexpr uint64_t kWantedLimit = 64 * 4096;  ///< bytes that one PagesWanted may ask for
inline constexpr uint64_t kPushSlice = 8u << 20;  ///< between two looks at what the destination says

std::string encode_late(std::span<const engine::PageRun> runs);
/// Code::kCorrupt unless they are sorted, whole runs that don't overlap.
Result<std::vector<engine::PageRun>> decode_late(const std::string& bytes);

/// The source's side. handle() is for the listening thread, the rest for run()'s.
class LateServer {
 public:
  void open(std::vector<engine::PageRun> later, engine::PageReader* reader);
  /// The reader may go: nothing is read any more.
  void close();
  /// Answers a PagesWanted; false when the message isn't one that has its place here.
  bool handle(ControlLink& link, const stream::Control& message);
  /// Sends all of it; `between` is called between slices and ends it by an error.
  Result<void> push(PageSender& sender, const std::function<Result<void>()>& between);
  [[nodiscard]] uint64_t pages() const;
  [[nodiscard]] uint64_t pages_given() const { return given_; }

 private:
  [[nodiscard]] bool holds(const engine::PageRun& run) const;
  Result<void> give(ControlLink& link, std::span<const engine::PageRun> runs);

  std::vector<engine::PageRun> later_;  // written before open_
  std::mutex mutex_;
  engine::PageReader* reader_ = nullptr;  // guarded by mutex_, but for push()
  std::atomic<bool> open_{false};
  std::atomic<uint64_t> given_{0};
};

/// The destination's side: the engine's questions go out, answers come in on the listening thread.
class LateAsker : public engine::LatePages {
 public:
  void open(ControlLink& link);
  void close();
  void want(std::span<const engine::PageRun> runs) override;
  [[nodiscard]] uint64_t pages_wanted() const { return wanted_; }

 private:
  std::mutex mutex_;
  ControlLink* link_ = nullptr;  // guarded by mutex_
  std::atomic<uint64_t> wanted_{0};
};

/// Checks a PagesGiven and gives its runs.
Result<std::vector<engine::PageRun>> runs_given(const stream::PagesGiven& given);

}  // namespace godwit::migration
