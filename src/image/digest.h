// Digests: SHA-256 names content, XXH3-128 guards records of a raw pack against accidents.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace godwit::image {

/// SHA-256 of a chunk's plain content: its name everywhere.
struct ChunkId {
  std::array<unsigned char, 32> bytes{};
  auto operator<=>(const ChunkId&) const = default;
  [[nodiscard]] std::string hex() const;
  /// 64 hexadecimal digits, lower case; anything else is Code::kCorrupt.
  static Result<ChunkId> from_hex(std::string_view text);
};
/// For hash tables: the id is already evenly spread.
struct ChunkIdHash {
  size_t operator()(const ChunkId& id) const {
    size_t h;
    std::memcpy(&h, id.bytes.data(), sizeof h);
    return h;
  }
};

using Xxh128 = std::array<unsigned char, 16>;

ChunkId sha256(std::span<const std::byte> data);
ChunkId sha256(std::span<const std::byte> first, std::span<const std::byte> second);
/// The canonical (big-endian) form, so that images read the same on every machine.
Xxh128 xxh3_128(std::span<const std::byte> data);

}  // namespace godwit::image
