#include <algorithm>
#include <cstring>

#include "link/link.h"

namespace godwit::link {
namespace {

constexpr std::string_view kMagic = "GODWIT\r\n";
constexpr uint32_t kVersion = 1;
constexpr size_t kVersionAt = 8;
constexpr size_t kIndexAt = 12;
constexpr size_t kStreamsAt = 16;
constexpr size_t kMigrationAt = 20;
constexpr size_t kMigrationLength = 16;
constexpr size_t kRestAt = kMigrationAt + kMigrationLength;

void put(std::array<std::byte, kPreambleSize>& out, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; i++) out[at + i] = static_cast<std::byte>(value >> (8 * i));
}
uint32_t get(std::span<const std::byte, kPreambleSize> in, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; i++) value |= std::to_integer<uint32_t>(in[at + i]) << (8 * i);
  return value;
}

}  // namespace

std::array<std::byte, kPreambleSize> encode(const Preamble& preamble) {
  std::array<std::byte, kPreambleSize> out{};
  std::memcpy(out.data(), kMagic.data(), kMagic.size());
  put(out, kVersionAt, kVersion);
  put(out, kIndexAt, preamble.index);
  put(out, kStreamsAt, preamble.streams);
  std::memcpy(out.data() + kMigrationAt, preamble.migration.data(),
              std::min(preamble.migration.size(), kMigrationLength));
  return out;
}

Result<Preamble> decode(std::span<const std::byte, kPreambleSize> bytes) {
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) return fail(Code::kCorrupt, "no Godwit stream");
  if (const uint32_t v = get(bytes, kVersionAt); v != kVersion) {
    return fail(Code::kCorrupt, "stream of version " + std::to_string(v) + ", this is " + std::to_string(kVersion));
  }
  Preamble p;
  p.index = get(bytes, kIndexAt);
  p.streams = get(bytes, kStreamsAt);
  if (p.streams < 1 || p.streams > kMaxStreams || p.index >= p.streams) {
    return fail(Code::kCorrupt, "stream " + std::to_string(p.index) + " of " + std::to_string(p.streams));
  }
  p.migration.assign(reinterpret_cast<const char*>(bytes.data()) + kMigrationAt, kMigrationLength);
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (!std::ranges::all_of(p.migration, hex)) return fail(Code::kCorrupt, "migration id isn't 16 hex digits");
  if (!std::ranges::all_of(bytes.subspan(kRestAt), [](std::byte b) { return b == std::byte{0}; })) {
    return fail(Code::kCorrupt, "bytes after the preamble's fields aren't zero");
  }
  return p;
}

}  // namespace godwit::link
