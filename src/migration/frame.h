// Frames of the data streams: memory pages, file chunks, marks. A fixed head, then runs, then content.
//
//      0  1  kind: 1 pages, 2 mark, 3 chunk
//      1  1  flags: bit 0: the content is one zstd frame
//      2  2  zero
//      4  4  data runs (pages), else 0
//      8  4  zero runs (pages), else 0
//     12  4  bytes of content on the wire
//     16  4  bytes of content when unpacked
//     20  4  zero
//     24  8  pages, chunk: number of the frame on this stream, from 0; mark: the mark
//     32 16  XXH3-128 of the runs and the unpacked content
//     48     runs, 16 bytes each (space 4, pages 4, address 8): the data runs, then the zero runs
//            content: pages: the data runs' bytes; chunk: 32 bytes of id, then the chunk
//
// All numbers are little-endian. A head is checked completely before its lengths are used.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"

namespace godwit::migration {

inline constexpr size_t kHeadSize = 48;
inline constexpr size_t kRunSize = 16;
inline constexpr uint64_t kPageSize = 4096;
/// Content of one frame, unpacked. 1 MiB and an id: a chunk of the module `files`; page frames stay at half of it.
inline constexpr uint32_t kContentLimit = (1u << 20) + 32;
inline constexpr uint32_t kRunsLimit = 16384;  ///< data and zero runs of one frame together: 256 KiB
inline constexpr size_t kBatchBytes = 512u << 10;
inline constexpr size_t kChunkIdSize = 32;

enum class FrameKind : uint8_t { kPages = 1, kMark = 2, kChunk = 3 };
using Digest128 = std::array<std::byte, 16>;

struct Head {
  FrameKind kind = FrameKind::kMark;
  bool packed = false;
  uint32_t data_runs = 0;
  uint32_t zero_runs = 0;
  uint32_t wire_bytes = 0;
  uint32_t content_bytes = 0;
  uint64_t number = 0;
  Digest128 digest{};
  bool operator==(const Head&) const = default;
};

void encode(const Head& head, std::span<std::byte, kHeadSize> out);
/// Code::kCorrupt unless every field is one that encode() could have been given.
Result<Head> decode_head(std::span<const std::byte, kHeadSize> in);

void encode(const engine::PageRun& run, std::span<std::byte, kRunSize> out);
/// Appends `bytes.size() / kRunSize` runs; unaligned, empty or overflowing ones are Code::kCorrupt.
Result<void> decode_runs(std::span<const std::byte> bytes, std::vector<engine::PageRun>& out);
/// Sum of the lengths, or nothing when it is more than `limit`.
Result<uint64_t> total_length(std::span<const engine::PageRun> runs, uint64_t limit);

/// True when the page (4096 bytes, any alignment) is all zero.
bool is_zero_page(const std::byte* page);

/// XXH3-128 of `runs` followed by `content`. It finds what software or memory broke; against an adversary on the wire
/// stands TLS, and a source that lies could lie before any digest.
Digest128 digest_of(std::span<const std::byte> runs, std::span<const std::byte> content);

}  // namespace godwit::migration
