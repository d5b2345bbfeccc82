// The bytes of one file of a chunk store: header, maybe compressed, maybe encrypted. No I/O. Private to the module.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "image/digest.h"

namespace godwit::image {

/// An AES-256 key.
using StoreKey = std::array<unsigned char, 32>;

inline constexpr size_t kChunkHeaderBytes = 32;
inline constexpr size_t kChunkTagBytes = 16;

/// What a header says, after its checks.
struct ChunkHeader {
  bool compressed = false, encrypted = false;
  uint32_t plain_bytes = 0, stored_bytes = 0;
  std::array<unsigned char, 12> nonce{};
  [[nodiscard]] size_t file_bytes() const {
    return kChunkHeaderBytes + stored_bytes + (encrypted ? kChunkTagBytes : 0);
  }
};

/// `header` has kChunkHeaderBytes. `limit` bounds the plain content: nothing larger is allocated.
Result<ChunkHeader> decode_chunk_header(std::span<const std::byte> header, uint64_t limit);

/// The whole file for `plain`. With encryption `bound` (what the content is the content of: its id) is authenticated
/// with it, so that a file under another's name doesn't open. Writes into `out`, which has room for chunk_room(plain).
Result<std::span<const std::byte>> encode_chunk(std::span<const std::byte> plain, const ChunkId& bound, int zstd_level,
                                                const std::optional<StoreKey>& key, std::span<std::byte> out);
constexpr size_t chunk_room(size_t plain_bytes) { return kChunkHeaderBytes + plain_bytes + kChunkTagBytes; }

/// Gives the plain content of a file into `out`, which has exactly header.plain_bytes. Destroys `file`. The content is
/// not compared with its id here.
Result<void> decode_chunk(const ChunkHeader& header, std::span<std::byte> file, const ChunkId& bound,
                          const std::optional<StoreKey>& key, std::span<std::byte> out);

}  // namespace godwit::image
