// Files that a unit needs but that don't travel with it by themselves: its program, libraries, what it has open.
//
//     source:       describe(needed paths)  → demands: each path with its content's hash    (value, crosses the network)
//     destination:  match(demands)          → which are there with the same content, which chunks have to be carried
//     transport:    carries Verdict::wanted, read from demand_chunks() at the source
//     destination:  plan_view(), place_files() (view.h) put them where the unit will see them
//
// What counts is content: another distribution's libc at the same path is "different", the same file that was installed
// by other means is "same". Owner and times of such files don't count; whether it may be executed does.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/engine.h"
#include "files/chunk.h"
#include "files/content.h"
#include "files/hash.h"
#include "files/recipe.h"

namespace godwit::files {

/// What a path is needed for. The first six are pod.proto's FileDemand.Use, by number.
enum class Use : uint8_t {
  kMapped = 0,
  kExecutable = 1,
  kOpenRead = 2,
  kOpenWrite = 3,  ///< must be shared (share_probe.h); match() only looks whether it is there
  kDirectory = 4,  ///< a working directory, or an open one
  kSocket = 5,  ///< the path of a socket: its directory is needed
  kWith = 6,  ///< the user said so (`--with`): a file, or a directory with all in it; programs with their libraries
};

struct Needed {
  std::string path;  ///< absolute, as the unit sees it
  Use use = Use::kMapped;
  std::string used_by;  ///< "fd 7 of pid 42 (python3)"
};

struct Demand {
  Recipe recipe;  ///< its path is absolute
  Use use = Use::kMapped;
  std::string used_by;
  /// Not used at the moment, but a name by which it may be used again (libz.so.1 → libz.so.1.2.13): carried where
  /// nothing has that name, and never in the way of what has.
  bool optional = false;
  bool operator==(const Demand&) const = default;
};

struct DescribeOptions {
  std::vector<std::string>
      carried;  ///< directories that travel themselves (the work directory): what is inside is no demand
  HashCache* cache = nullptr;
  Progress progress;
};
struct Described {
  std::vector<Demand> demands;  ///< each path once, sorted
  std::vector<engine::Blocker> blockers;  ///< what can't be read, or is gone
};
/// Source: looks at the needed paths, below `root` (the unit's root directory).
Result<Described> describe(const Fd& root, std::span<const Needed> needed, const DescribeOptions& options);
/// Source: gives the chunks of demands from the files themselves.
Result<FileChunks> demand_chunks(const Fd& root, std::span<const Demand> demands);

/// 1 million: a demand for each file of a large installation given by --with.
inline constexpr size_t kMaxDemands = 1u << 20;
/// Whether a peer's demands make sense; else Code::kCorrupt. match() asks it itself.
Result<void> check_demands(std::span<const Demand> demands);

enum class Presence : uint8_t { kSame = 0, kDifferent = 1, kMissing = 2 };

struct Verdict {
  std::vector<Presence> presence;  ///< for each demand
  std::vector<engine::Blocker> blockers;  ///< what can be neither used nor carried
  std::vector<ChunkWant> wanted;  ///< what the source has to send, each chunk once
  uint64_t wanted_bytes = 0;
  FileChunks local;  ///< chunks of different files that lie here: read these before `wanted` from the store
};
/// Destination: what of the demands is here, below `root` (the host's root). `cache` may be null.
Result<Verdict> match(const Fd& root, std::span<const Demand> demands, const ChunkSource& store, HashCache* cache,
                      const Progress& progress);

}  // namespace godwit::files
