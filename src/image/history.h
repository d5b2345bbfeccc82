// History: the checkpoints of units, `unit@3`. Their manifests lie here, their content in a chunk store.
//
//     HISTORY/UNIT/NUMBER       the manifest (sealed when the store has a key)
//     HISTORY/UNIT/last         the highest number ever given: none is given twice
#pragma once

#include <string>
#include <vector>

#include "image/manifest.h"
#include "image/store.h"

namespace godwit::image {

/// One line of `godwit history`.
struct Checkpoint {
  uint64_t number = 0, parent = 0;
  int64_t created_unix_ns = 0;
  uint64_t memory_bytes = 0;  ///< page content, without zero pages
  std::string damage;         ///< why its manifest can't be read; else empty
};

/// Which checkpoints stay. The newest always does, and so does what any rule keeps.
struct KeepPolicy {
  size_t newest = 10;
  int64_t younger_than_ns = 0;         ///< against `now_unix_ns`
  std::vector<uint64_t> pinned = {};   ///< numbers that somebody named
};

class History {
 public:
  /// Opens or makes the directory `path`. The store must outlive it.
  static Result<History> open(const std::string& path, const ChunkStore& store);

  /// Checkpoints by number, also damaged ones. A unit without any gives an empty list.
  Result<std::vector<Checkpoint>> list(const std::string& unit) const;
  Result<std::vector<std::string>> units() const;
  Result<Manifest> load(const std::string& unit, uint64_t number) const;
  /// Forgets a checkpoint; its content goes with the next collect().
  Result<void> remove(const std::string& unit, uint64_t number) const;
  /// Removes what the policy doesn't keep; gives the numbers removed. Damaged ones are never removed by a policy.
  Result<std::vector<uint64_t>> prune(const std::string& unit, const KeepPolicy& policy, int64_t now_unix_ns) const;
  /// Removes content that no checkpoint of any unit names. Code::kRefused while somebody writes to the store or when a
  /// manifest can't be read.
  Result<ChunkStore::Collected> collect() const;

  /// Makes a manifest a checkpoint of manifest.unit: under manifest.checkpoint, or the next number when that is 0 (then it
  /// is filled in). A number that exists is Code::kRefused. Its chunks were put in `session`. Gives the bytes written.
  Result<uint64_t> publish(Manifest& manifest, const ChunkStore::Session& session, bool durable) const;

  [[nodiscard]] const ChunkStore& store() const { return *store_; }

 private:
  History(std::string path, Fd dir, const ChunkStore& store)
      : path_(std::move(path)), dir_(std::move(dir)), store_(&store) {}
  Result<std::vector<uint64_t>> numbers(const std::string& unit) const;
  Result<uint64_t> next_number(const std::string& unit) const;
  std::string path_;
  Fd dir_;
  const ChunkStore* store_;
};

}  // namespace godwit::image
