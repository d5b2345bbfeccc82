// Where file content joins a move: what the transport asks of whoever knows files (the keeper, on top of module `files`).
// The messages are opaque here; chunks travel on the data streams beside memory.
//
//     source                                   destination
//     offer(demands) ──────── offer ─────────▶ want(offer)         while the unit runs
//     send(wanted) ◀───────── wanted ─────────
//              ─────────────  chunks ────────▶ chunk() …, arrived()
//     last()   ─── chunks, last snapshot ────▶ chunk() …, last()    while it is frozen
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "migration/pages.h"

namespace godwit::migration {

class SourceFiles {
 public:
  virtual ~SourceFiles() = default;
  /// What the unit needs and has, described. `demands` is what the engine's inspect() gave.
  virtual Result<std::string> offer(const std::string& demands) = 0;
  /// Sends the chunks that the destination wants (PageSender::chunks).
  virtual Result<void> send(const std::string& wanted, PageSender& out) = 0;
  /// Frozen: sends the chunks that changed since, and gives the last snapshot. `mappings`: as the engine knows them.
  virtual Result<std::string> last(PageSender& out,
                                   const std::optional<std::vector<engine::FileMapping>>& mappings) = 0;
  /// What forbids the move, found by the last call: asked after offer() and send().
  [[nodiscard]] virtual std::vector<engine::Blocker> blockers() const { return {}; }
};

class DestinationFiles : public ChunkWriter {
 public:
  struct Wanted {
    std::string wanted;
    uint64_t bytes = 0;
  };
  /// Compares with what is here.
  virtual Result<Wanted> want(const std::string& offer) = 0;
  /// What can be neither used nor carried: asked after want() and arrived().
  [[nodiscard]] virtual std::vector<engine::Blocker> blockers() const { return {}; }
  /// All that was wanted is here: the unit's file system may be built.
  virtual Result<void> arrived() = 0;
  /// The last snapshot; the unit's files become it. Before the engine restores.
  virtual Result<void> last(const std::string& snapshot) = 0;
  /// Removes what was built. Idempotent.
  virtual void discard() = 0;
};

}  // namespace godwit::migration
