// Departure and Arrival: the two halves of carrying a unit's files, ready to be hung into a transport. They use the
// rest of the module; messages are bytes (wire.h).
//
//     source: Departure                                destination: Arrival
//     offer()      describes demands, snapshots ─────▶ consider()  compares, answers share questions, plans the view
//                  the trees, asks who shares          …           blockers(): all that is in the way, at once
//     asked()  ◀────────────────────────────────────── wanted chunks, answers
//     read()       each wanted chunk ────────────────▶ put()
//                                                      arrived()   applies the trees, places files → the view's plan
//     ── the unit is frozen ──
//     last()       snapshots again, gives the delta
//                  and the new chunks ───────────────▶ put() …, last()
//
// A chunk that changed between the offer and its reading is skipped by read() (it gives false), and is carried by last().
// What was read-only demanded and changed all the same is refused when it arrives incomplete.
//
// Images use the same pair: offer() and last() at a checkpoint are kept, with all chunks, and played back at a restore.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "files/wire.h"

namespace godwit::files {

struct DepartureSpec {
  /// Directories that travel whole, open, in the unit's mount namespace or not. WORK: the unit's --dir. LAYER: an
  /// `upper`. OWN: its own /tmp and the like.
  struct Directory {
    TravellingTree::Role role = TravellingTree::Role::kWork;
    std::string path;  ///< as in TravellingTree
    Fd fd;
  };
  Fd root;  ///< the unit's root directory
  std::vector<Needed> needed;  ///< from the engine's demands, and the user's --with
  std::vector<Directory> directories;
  HashCache* cache = nullptr;  ///< may be null
  Progress progress;
};

/// The directories of a unit's layers, for DepartureSpec: what it changed outside of its work directory travels with it.
Result<std::vector<DepartureSpec::Directory>> layer_directories(const ViewPlan& plan);

/// The source's half. One thread, but read(), which the stream threads may call at once.
class Departure {
 public:
  explicit Departure(DepartureSpec spec) : spec_(std::move(spec)) {}

  /// While the unit runs. What can't be read is in blockers(). `mapped`: files that it has mapped shared and writable
  /// now: what is written through such a mapping before it goes away shows in no file's times (hash.h).
  Result<std::string> offer(const std::set<FileKey>& mapped = {});
  [[nodiscard]] const std::vector<engine::Blocker>& blockers() const { return blockers_; }
  /// What the destination answered; files that turn out not to be shared are in blockers(). Gives the wanted chunks.
  Result<std::vector<ChunkWant>> asked(std::string_view answer);
  /// Fills `out` (of the wanted length) with a chunk of the offer or, after last(), of that. False: its file changed, leave
  /// it out, a later last() brings what is needed of it.
  Result<bool> read(const ChunkId& id, std::span<std::byte> out);

  struct Final {
    std::string message;
    std::vector<ChunkWant> chunks;  ///< to be sent before the message
  };
  /// While the unit stands still. `mapped`: as for offer().
  Result<Final> last(const std::set<FileKey>& mapped);
  /// Names in the travelling directories that don't travel (sockets, devices, mounts), as of the last look.
  [[nodiscard]] std::vector<std::string> left_out() const;

 private:
  Result<void> ask_who_shares();

  DepartureSpec spec_;
  std::vector<engine::Blocker> blockers_;
  std::vector<Demand> demands_;
  std::vector<ShareProbe> probes_;
  std::vector<Snapshot> snapshots_;
  std::unordered_set<ChunkId, ChunkIdHash> offered_;  // the destination has these, or was sent them
  std::vector<std::unique_ptr<FileChunks>> sources_;
  std::mutex mutex_;  // guards skipped_
  std::unordered_set<ChunkId, ChunkIdHash> skipped_;
};

struct ArrivalSpec {
  std::string unit_directory;  ///< absolute; `dir/` (work), `own/`, `layer/`, `view/` are made in it
  bool user_namespace = false;  ///< as in ViewPlan; then nothing can be mounted yet, and /dev/shm lies on disk, too
  bool keep_owner = true;
  uint64_t memory_room = UINT64_MAX;  ///< bytes that may be taken for what the unit has in memory (/dev/shm)
  const ChunkSource* store = nullptr;  ///< where put() chunks can be read again, and older ones may be
  ChunkSink* sink = nullptr;
  HashCache* cache = nullptr;  ///< may be null
  Progress progress;
};

/// The destination's half. In the host's mount namespace up to arrived(); last() anywhere. put() from several threads.
class Arrival {
 public:
  explicit Arrival(ArrivalSpec spec) : spec_(std::move(spec)) {}

  struct Considered {
    std::string answer;
    uint64_t wanted_bytes = 0;
  };
  /// Code::kCorrupt for what is no offer. Touches nothing but the unit's own directory (and a probe that it is asked about).
  Result<Considered> consider(std::string_view offer);
  [[nodiscard]] const std::vector<engine::Blocker>& blockers() const { return blockers_; }
  Result<void> put(const ChunkId& id, std::span<const std::byte> data) { return spec_.sink->put(id, data); }
  /// All that was wanted is here (or was left out by the source). Gives the view to build.
  Result<ViewPlan> arrived();
  /// The file systems in memory that the plan wants (build_view()), filled up to here. Once, after arrived().
  MemoryMounts take_memory() { return std::move(memory_); }
  /// The frozen unit's files. After it the directories are exactly as they were at the source.
  Result<void> last(std::string_view message);
  /// Removes what was made in the unit's directory. Idempotent.
  void discard();

 private:
  struct Place {
    TravellingTree tree;
    std::string directory;  // empty: in memory
    Fd fd;
    Snapshot present;
    bool whole = false;  // arrived() left nothing out
  };
  Result<void> plan();
  Result<void> make_place(Place& place);
  Result<void> check_room(uint64_t bytes_wanted);
  Result<void> check_memory(const Place& place);
  Result<std::vector<ShareAnswer>> answer_all(const std::vector<ShareQuestion>& questions);
  Result<void> apply_to(Place& place, const Tree& tree) const;

  ArrivalSpec spec_;
  std::vector<engine::Blocker> blockers_;
  std::vector<Demand> demands_;
  std::unique_ptr<Verdict> verdict_;
  std::vector<Place> places_;
  MemoryMounts memory_;
  ViewPlan plan_;
};

}  // namespace godwit::files
