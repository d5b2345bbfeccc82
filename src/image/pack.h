// Packs: blocks of 4096 bytes with a header block first. Private to the module; docs/formats/image.md has the bytes.
#pragma once

#include "image/manifest.h"

namespace godwit::image {

inline constexpr std::string_view kPackMagic = "GODWITPK";
inline constexpr std::string_view kEndMagic = "GODWITEN";
inline constexpr size_t kEndBytes = 64;
inline constexpr const char* kManifestName = "manifest";

inline std::string pack_name(size_t number) { return "pack-" + std::to_string(number); }
/// The first block of a pack, and of a single-file image (whose only pack is number 0).
std::string pack_header(const ImageId& id, uint32_t number);
/// The last 64 bytes of a single-file image: where its manifest is.
std::string file_end(uint64_t manifest_offset, uint64_t manifest_bytes);

/// Compresses when that saves at least an eighth; else gives an empty span. `scratch` must hold plain.size() bytes.
std::span<const std::byte> compress(int level, std::span<const std::byte> plain, std::span<std::byte> scratch);
/// Exactly out.size() bytes must come out; anything else is Code::kCorrupt.
Result<void> decompress(std::span<const std::byte> stored, std::span<std::byte> out);

}  // namespace godwit::image
