// The manifest as a value, and its encoding. Everything of an image but the bytes of memory and files.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "image/digest.h"
#include "image/limits.h"

namespace godwit::image {

/// The version that is written. Readers take this and all before it; docs/formats/image.md says when it grows.
inline constexpr uint32_t kFormatVersion = 1;

using ImageId = std::array<unsigned char, 16>;

/// What another module keeps in an image; known names are in sections.cc.
struct Section {
  std::string name;
  std::string content;
  std::vector<ChunkId> chunks;  ///< content that belongs to it: kept as long as the image, carried in a file form
  bool required = true;         ///< a reader that doesn't know the name must refuse
  bool operator==(const Section&) const = default;
};

enum class Place { kPack = 0, kChunk = 1 };
enum class DigestKind { kXxh3 = 0, kSha256 = 1 };

/// Bytes of a pack. `stored` is 0 for plain bytes, else the length of what zstd made of them. Offsets are multiples of
/// 4096, and what lies between the end and the next multiple is zero.
struct Extent {
  uint32_t pack = 0;
  uint64_t offset = 0;
  uint32_t length = 0;
  uint32_t stored = 0;
  [[nodiscard]] uint64_t bytes_stored() const { return stored != 0 ? stored : length; }
  [[nodiscard]] uint64_t end() const { return offset + (bytes_stored() + kPageBytes - 1) / kPageBytes * kPageBytes; }
  bool operator==(const Extent&) const = default;
};

/// A space number that no engine uses: bytes in a record which a later round replaced.
inline constexpr engine::SpaceId kReplaced = 0xffffffff;

/// At most kRecordBytes of page content: that of its runs, one after the other.
struct Record {
  Extent where;    ///< for Place::kChunk only `length` counts
  ChunkId digest;  ///< of the plain content; XXH3 uses the first 16 bytes
  uint32_t first_run = 0;
  uint32_t run_count = 0;
  bool operator==(const Record&) const = default;
};

struct Memory {
  Place place = Place::kPack;
  DigestKind digest = DigestKind::kXxh3;
  std::vector<Record> records;
  std::vector<engine::PageRun> runs;   ///< of the records, in their order; space kReplaced: to be skipped
  std::vector<engine::PageRun> zeros;  ///< pages that are zero
  bool operator==(const Memory&) const = default;
};

struct EmbeddedChunk {
  ChunkId id;
  Extent where;
  bool operator==(const EmbeddedChunk&) const = default;
};

struct Manifest {
  ImageId image_id{};
  std::string unit, name;
  uint64_t checkpoint = 0;  ///< number in the unit's history, from 1; 0 outside of one
  uint64_t parent = 0;
  std::string grain, engine, architecture, abi;
  int64_t created_unix_ns = 0;
  std::string writer;

  std::string state, demands, outline;  ///< the engine's own messages
  std::string spec;                     ///< what the user asked for, JSON
  std::vector<Section> sections;

  // Filled by ImageWriter.
  Memory memory;
  std::vector<EmbeddedChunk> embedded;
  std::vector<uint64_t> pack_bytes;

  [[nodiscard]] const Section* find(std::string_view section) const;
  bool operator==(const Manifest&) const = default;
};

/// This machine's architecture and ABI words, the time and a fresh image id filled in.
Manifest new_manifest();

/// The frame with the manifest in it: header, body, SHA-256 over both. Too much for the format is Code::kRefused.
Result<std::string> encode(const Manifest& manifest);
/// Checks everything that can be checked without the packs. Any flaw is Code::kCorrupt; a newer version Code::kRefused.
Result<Manifest> decode(std::span<const std::byte> frame);

}  // namespace godwit::image
