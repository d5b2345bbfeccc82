// ChunkStore: content by its SHA-256, shared by all checkpoints and carried files of a machine.
//
//     TRY(auto store, image::ChunkStore::open(state + "/chunks", {}));
//     TRY(auto session, store->session());            // what it finds or puts isn't collected while it lives
//     TRY(const auto put, session.put(content));      // put.id names it; the same content twice costs once
//     … write down put.id in a manifest, publish that (history.h), then let the session go
//
// Several processes may use one store at the same time. Killing any of them at any moment leaves a good store: at worst
// content that nothing names, which collect() removes. Threads: all methods may be called from several.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/fd.h"
#include "image/chunk_file.h"
#include "image/limits.h"

namespace godwit::image {

struct StoreOptions {
  int zstd_level = 1;  ///< 0: never compress; else when it saves at least an eighth
  std::optional<StoreKey> key;  ///< encrypts what is written; needed to read what was encrypted
};

struct Put {
  ChunkId id;
  uint64_t bytes_added = 0;  ///< on disk; 0: it was there
};

class ChunkStore {
 public:
  /// Opens or makes the store in `path`.
  static Result<std::unique_ptr<ChunkStore>> open(const std::string& path, const StoreOptions& options);

  /// Holds off collect() in all processes while it lives. Movable; it must not outlive the store.
  class Session {
   public:
    /// Stores 1 to kMaxChunkBytes.
    Result<Put> put(std::span<const std::byte> content) const;
    /// Waits until what was put is on the disk.
    Result<void> sync() const;

   private:
    friend class ChunkStore;
    Session(const ChunkStore& store, Fd lock) : store_(&store), lock_(std::move(lock)) {}
    const ChunkStore* store_;
    Fd lock_;
  };
  /// Waits while a collection runs.
  Result<Session> session() const;

  /// Whether a complete file with this name is here; its content is checked by get().
  [[nodiscard]] bool has(const ChunkId& id) const;
  /// Absent is Code::kNotFound. Damaged is Code::kCorrupt, and the file is put aside so that the next put() heals it.
  Result<std::string> get(const ChunkId& id) const;
  /// Likewise, of content whose length is known: out must have exactly that (another length is Code::kCorrupt).
  Result<void> get_into(const ChunkId& id, std::span<std::byte> out) const;

  struct Collected {
    uint64_t chunks_kept = 0, chunks_removed = 0, bytes_removed = 0;
  };
  using Keep = std::function<void(const ChunkId&)>;
  /// Removes everything that `mark` does not name. `mark` runs while no session exists, so what it reads is all there is;
  /// its failure stops the collection with nothing removed. Code::kRefused while a session exists.
  Result<Collected> collect(const std::function<Result<void>(const Keep&)>& mark) const;

  /// Reads every chunk; gives the ids of those that are damaged (they are put aside).
  Result<std::vector<ChunkId>> verify() const;

  [[nodiscard]] const StoreOptions& options() const { return options_; }

 private:
  ChunkStore(std::string path, Fd dir, StoreOptions options)
      : path_(std::move(path)), dir_(std::move(dir)), options_(options) {}
  Result<Fd> lock(int operation) const;
  Result<uint64_t> write(const ChunkId& id, std::span<const std::byte> file) const;
  using Room = std::function<Result<std::span<std::byte>>(size_t bytes)>;
  Result<void> read(const ChunkId& id, const Room& room) const;
  void put_aside(const ChunkId& id) const;
  Result<void> each_chunk(const std::function<Result<void>(const std::string& path, const ChunkId* id)>& use) const;

  std::string path_;
  Fd dir_;
  StoreOptions options_;
};

}  // namespace godwit::image
