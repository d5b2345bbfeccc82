// What the migration protocol knows of an engine: nothing but this.
//
// A unit's memory is a set of *spaces* (one a process address space or shared-memory object, numbered by the engine);
// everything else is one opaque `state`, a serialised message of the engine's own schema. Memory streams in rounds
// while the unit runs; the state is small and is captured while it stands.
//
//     source:       inspect → [start_precopy → precopy_round …] → freeze → capture → (thaw | discard)
//     destination:  admit → prepare → (pages arrive) … → prepare → (pages arrive) → restore → (resume | discard)
//
// A lazy move (post-copy) captures with capture_lazily() and leaves most memory at the source until the unit runs:
//
//     source:       … → freeze → capture_lazily → [commit] → hold_memory → (pages are read) → discard
//     destination:  admit + admit_late → … → expect_late → restore → [commit] → resume → (pages arrive) → finish_late
//
// Areas and processes come and go while the unit runs, so freeze() gives the last *outline* and the destination prepares
// it again (it only builds the difference) before the pages of capture() may arrive: the transport waits for that answer.
//
// Threads: all calls come from one thread (a ptrace tracer is a thread), except PageReader::read, PageWriter's methods
// and lose_late(), which the transport calls from its stream threads at the same time.
// Failure: an Error from any source call before capture() returned leaves the unit able to run: call thaw().
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::engine {

using SpaceId = uint32_t;

/// A run of whole pages of one space. `length` is in bytes, a multiple of 4096, never 0.
struct PageRun {
  SpaceId space = 0;
  uint64_t address = 0;
  uint64_t length = 0;
  bool operator==(const PageRun&) const = default;
};

/// Gives the bytes of page runs. Thread-safe. `out` has exactly the sum of the lengths.
/// Pages that went away meanwhile (unmapped while the unit runs) read as zeros: the next round or capture() corrects it.
class PageReader {
 public:
  virtual ~PageReader() = default;
  virtual Result<void> read(std::span<const PageRun> runs, std::span<std::byte> out) = 0;
};

/// Where an engine sends memory: network streams or an image. Takes the runs, splits them as it likes, reads them
/// through `reader` (maybe from several threads), leaves out zero pages, and returns when all of it is handed on.
class PageSink {
 public:
  virtual ~PageSink() = default;
  virtual Result<void> pages(std::span<const PageRun> runs, PageReader& reader) = 0;
  /// These runs are holes (all zero, or dropped since they were sent): the destination must make them so.
  virtual Result<void> holes(std::span<const PageRun> runs) = 0;
  /// Said once, at the end of rounds: the unit has memory in these runs only. What was sent for any other place is not
  /// wanted; a live destination has taken it down already, when it prepared the last outline.
  virtual void only(std::span<const PageRun> /*runs*/) {}
};

/// Where memory arrives. Thread-safe: called from the stream threads at the same time for different runs.
class PageWriter {
 public:
  virtual ~PageWriter() = default;
  /// `data` has exactly the sum of the lengths. Runs outside the prepared areas are Code::kCorrupt.
  virtual Result<void> write(std::span<const PageRun> runs, std::span<const std::byte> data) = 0;
  virtual Result<void> zero(std::span<const PageRun> runs) = 0;
};

/// One thing that forbids a move: what it is, why, and what would lift it. All are collected, none is first.
struct Blocker {
  std::string code;  ///< stable word from the refusal table ("io-uring")
  std::string object;  ///< "fd 7 of pid 42 (python3)"
  std::string reason;
  std::string lift;  ///< what would make it possible
  bool operator==(const Blocker&) const = default;
};

/// What inspect() found. `demands` and `outline` are the engine's own serialised messages; the transport carries them.
struct Inspection {
  std::vector<Blocker> blockers;
  std::string demands;  ///< what the destination must have (CPU, kernel, files, memory): input of admit()
  std::string outline;  ///< processes and areas to build ahead: input of prepare()
  uint64_t memory_bytes = 0;
};

/// What one round of pre-copy sent.
struct Round {
  uint64_t pages_sent = 0;  ///< pages with content handed to the sink
  uint64_t pages_dirty = 0;  ///< pages found dirty by this round's scan
  double scan_ms = 0;
};

/// Milliseconds of named steps inside an engine call, in order; shown in the breakdown.
struct Timing {
  std::string step;
  double ms = 0;
};

/// What capture_lazily() leaves for later.
struct LateCapture {
  std::string state;
  std::vector<PageRun> later;  ///< sorted; all other memory was sent
  PageReader* reader = nullptr;  ///< of these runs, until thaw() or discard()
};

/// A shared mapping of a file that a process may write through.
struct FileMapping {
  pid_t host_pid = 0;
  uint64_t start = 0, end = 0;
};

/// Where a destination engine asks for pages that a thread of the unit waits for. Called from the engine's own threads,
/// without any of its locks; the pages come through its PageWriter.
class LatePages {
 public:
  virtual ~LatePages() = default;
  virtual void want(std::span<const PageRun> runs) = 0;
};

class SourceEngine {
 public:
  virtual ~SourceEngine() = default;
  /// Looks at the unit, touching nothing that it could notice.
  virtual Result<Inspection> inspect() = 0;
  /// Starts write tracking. Costs the unit one short stop. After it, precopy_round() may be called.
  virtual Result<void> start_precopy() = 0;
  /// Sends what was written since the last round (the first sends all). `outline` is renewed when areas changed.
  virtual Result<Round> precopy_round(PageSink& sink, std::string& outline) = 0;
  /// Stops every thread. Until thaw() or discard() nothing of the unit runs. Gives the final outline.
  virtual Result<std::string> freeze() = 0;
  /// After freeze(): is the outline that it gave, but for the clocks, the one given before? Then prepare() has nothing to do.
  virtual bool same_outline() const { return false; }
  /// Frozen: sends the rest of the memory and gives the state. Blockers found only now are Code::kRefused.
  virtual Result<std::string> capture(PageSink& sink) = 0;
  /// Instead of capture(): only what must be at the destination when the unit is resumed there.
  virtual Result<LateCapture> capture_lazily(PageSink&) {
    return fail(Code::kRefused, "this engine can't send memory after the commit (--lazy)");
  }
  /// After capture(): all of the unit. None when the engine doesn't know: then /proc tells.
  virtual std::optional<std::vector<FileMapping>> writable_file_mappings() { return std::nullopt; }
  /// After the commit of a lazy move: gives up what the unit takes over where it runs now (locks, names). What is left is
  /// memory to be read; it never runs again, whatever becomes of this process.
  virtual Result<void> hold_memory() { return {}; }
  /// Lets the unit go on as if nothing had happened. Also after a failed call. Idempotent.
  virtual Result<void> thaw() = 0;
  /// Destroys the unit's processes here: only after the commit. Idempotent.
  virtual Result<void> discard() = 0;
  virtual std::vector<Timing> timings() const { return {}; }
};

class DestinationEngine {
 public:
  virtual ~DestinationEngine() = default;
  /// The entrance check: every blocker at once; empty means welcome. Touches nothing.
  virtual Result<std::vector<Blocker>> admit(const std::string& demands) = 0;
  /// Builds blank processes and areas. Called again with each renewed outline: builds only the difference, and keeps
  /// the memory that has arrived. The last outline is the one that the source's freeze() gave.
  virtual Result<void> prepare(const std::string& outline) = 0;
  virtual PageWriter& writer() = 0;
  /// Can memory follow after the resume here? Every blocker; asked with admit() when the move is lazy. Touches nothing.
  virtual Result<std::vector<Blocker>> admit_late() {
    return std::vector<Blocker>{
        {"lazy-engine", "a unit of this grain", "its engine can't run with memory missing", "a move without --lazy"}};
  }
  /// Before restore(): these runs come later. From here on `pages` may be asked for them.
  virtual Result<void> expect_late(std::vector<PageRun>, LatePages&) {
    return fail(Code::kRefused, "this engine can't run with memory missing (--lazy)");
  }
  /// Is anything still missing? False also when whoever missed it has ended; true for ever after lose_late() took effect.
  virtual bool misses_pages() { return false; }
  /// Nothing is missing any more: the unit's memory is as that of any other. An error names what never came.
  virtual Result<void> finish_late() { return {}; }
  /// The missing pages will never come: ends the unit at once, so that nobody reads what isn't there. Does nothing when
  /// no page is missing. Any thread.
  virtual void lose_late() {}
  /// Rebuilds everything from the state; the unit stands complete and stopped.
  virtual Result<void> restore(const std::string& state) = 0;
  /// After restore(): must the source's copy be gone before resume()? It holds what the unit is to have here (file locks).
  [[nodiscard]] virtual bool takes_over() const { return true; }
  /// After the commit: runs.
  virtual Result<void> resume() = 0;
  /// Removes everything that was built. Idempotent.
  virtual Result<void> discard() = 0;
  virtual std::vector<Timing> timings() const { return {}; }
};

}  // namespace godwit::engine
