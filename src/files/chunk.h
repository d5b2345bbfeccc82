// Chunks: content cut into pieces of 1 MiB that are named by their SHA-256, and the two faces through which a store of
// them is used. A chunk of zeros has no name: it is a hole, it is never read, sent or stored.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::files {

/// Every chunk but a file's last is this long. Part of the format: two nodes must cut alike to find each other's
/// content.
inline constexpr uint64_t kChunkSize = 1u << 20;

/// A chunk's name: the SHA-256 of its bytes.
struct ChunkId {
  std::array<uint8_t, 32> bytes{};
  auto operator<=>(const ChunkId&) const = default;
  [[nodiscard]] std::string hex() const;
  [[nodiscard]] std::string raw() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  /// From exactly 32 bytes; anything else is Code::kCorrupt.
  static Result<ChunkId> from_raw(std::string_view raw);
};

struct ChunkIdHash {
  size_t operator()(const ChunkId& id) const {
    size_t head;
    std::memcpy(&head, id.bytes.data(), sizeof head);
    return head;
  }
};

ChunkId chunk_id_of(std::span<const std::byte> data);
bool is_zero(std::span<const std::byte> data);

/// A file's content: its size, and its chunks that aren't all zeros, by ascending index.
struct Content {
  struct Piece {
    uint64_t index = 0;  ///< chunk `index` covers [index MiB, (index+1) MiB) of the file, or less at its end
    ChunkId id;
    bool operator==(const Piece&) const = default;
  };
  uint64_t size = 0;
  std::vector<Piece> pieces;
  bool operator==(const Content&) const = default;
  [[nodiscard]] uint32_t piece_length(uint64_t index) const;
  /// Bytes in the pieces: what a full copy would send.
  [[nodiscard]] uint64_t data_bytes() const;
};

/// A chunk that somebody has to send: its name and how long it must be.
struct ChunkWant {
  ChunkId id;
  uint32_t length = 0;
  bool operator==(const ChunkWant&) const = default;
};

/// Where chunks are read from. Thread-safe.
class ChunkSource {
 public:
  virtual ~ChunkSource() = default;
  [[nodiscard]] virtual bool has(const ChunkId& id) const = 0;
  /// Fills `out` with the chunk; its length is out.size(). What comes out has the name asked for: it was checked.
  /// Code::kNotFound: never had it. Code::kGone: had it, but the file it lay in was changed meanwhile.
  virtual Result<void> read(const ChunkId& id, std::span<std::byte> out) const = 0;
};

/// Where chunks are put. Thread-safe. The image store implements it; ChunkDir does for tests and stand-alone use.
class ChunkSink {
 public:
  virtual ~ChunkSink() = default;
  /// Keeps the chunk. Bytes that don't have that name are Code::kCorrupt and are not kept.
  virtual Result<void> put(const ChunkId& id, std::span<const std::byte> data) = 0;
};

/// Asks several sources in turn (the first that gives it wins). Doesn't own them.
class AnySource : public ChunkSource {
 public:
  explicit AnySource(std::vector<const ChunkSource*> sources) : sources_(std::move(sources)) {}
  [[nodiscard]] bool has(const ChunkId& id) const override;
  Result<void> read(const ChunkId& id, std::span<std::byte> out) const override;

 private:
  std::vector<const ChunkSource*> sources_;
};

/// A directory of chunks, one file each: the simplest store. A chunk appears whole or not at all (rename).
class ChunkDir : public ChunkSource, public ChunkSink {
 public:
  static Result<ChunkDir> open(const std::string& path);
  [[nodiscard]] bool has(const ChunkId& id) const override;
  Result<void> read(const ChunkId& id, std::span<std::byte> out) const override;
  Result<void> put(const ChunkId& id, std::span<const std::byte> data) override;

 private:
  explicit ChunkDir(Fd dir) : dir_(std::move(dir)) {}
  Fd dir_;
};

/// How far a piece of work is, for a progress bar. Called now and then from one thread at a time; must be quick.
struct ProgressMark {
  std::string_view what;  ///< "hashing", "comparing", "carrying", "placing"
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};
using Progress = std::function<void(const ProgressMark&)>;

}  // namespace godwit::files
