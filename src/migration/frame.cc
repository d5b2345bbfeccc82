#include "migration/frame.h"

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <xxhash.h>
#pragma GCC diagnostic pop

#include <cstring>

namespace godwit::migration {
namespace {

template <typename T>
void put(std::byte* at, T value) {
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(at, &value, sizeof value);
}
template <typename T>
T get(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

constexpr uint64_t kAddressLimit = uint64_t{1} << 57;  // five-level paging; nothing of user space lies higher

}  // namespace

void encode(const Head& head, std::span<std::byte, kHeadSize> out) {
  std::memset(out.data(), 0, kHeadSize);
  put(out.data(), static_cast<uint8_t>(head.kind));
  put(out.data() + 1, static_cast<uint8_t>(head.packed ? 1 : 0));
  put(out.data() + 4, head.data_runs);
  put(out.data() + 8, head.zero_runs);
  put(out.data() + 12, head.wire_bytes);
  put(out.data() + 16, head.content_bytes);
  put(out.data() + 24, head.number);
  std::memcpy(out.data() + 32, head.digest.data(), head.digest.size());
}

Result<Head> decode_head(std::span<const std::byte, kHeadSize> in) {
  Head head;
  const auto kind = get<uint8_t>(in.data());
  const auto flags = get<uint8_t>(in.data() + 1);
  if (kind < 1 || kind > 3) return fail(Code::kCorrupt, "frame of unknown kind " + std::to_string(kind));
  if (flags > 1 || get<uint16_t>(in.data() + 2) != 0 || get<uint32_t>(in.data() + 20) != 0) {
    return fail(Code::kCorrupt, "frame head with unknown flags");
  }
  head.kind = static_cast<FrameKind>(kind);
  head.packed = flags == 1;
  head.data_runs = get<uint32_t>(in.data() + 4);
  head.zero_runs = get<uint32_t>(in.data() + 8);
  head.wire_bytes = get<uint32_t>(in.data() + 12);
  head.content_bytes = get<uint32_t>(in.data() + 16);
  head.number = get<uint64_t>(in.data() + 24);
  std::memcpy(head.digest.data(), in.data() + 32, head.digest.size());

  if (head.data_runs > kRunsLimit || head.zero_runs > kRunsLimit - head.data_runs) {
    return fail(Code::kCorrupt, "frame of " + std::to_string(head.data_runs) + " + " + std::to_string(head.zero_runs) +
                                    " runs, at most " + std::to_string(kRunsLimit));
  }
  if (head.content_bytes > kContentLimit || head.wire_bytes > head.content_bytes ||
      (!head.packed && head.wire_bytes != head.content_bytes)) {
    return fail(Code::kCorrupt, "frame of " + std::to_string(head.wire_bytes) + " bytes for " +
                                    std::to_string(head.content_bytes) + ", at most " + std::to_string(kContentLimit));
  }
  const bool runs = head.data_runs > 0 || head.zero_runs > 0;
  bool sound = false;
  switch (head.kind) {
    case FrameKind::kMark: sound = !runs && head.content_bytes == 0 && !head.packed; break;
    case FrameKind::kChunk: sound = !runs && head.content_bytes > kChunkIdSize; break;
    case FrameKind::kPages:
      sound = runs && head.content_bytes % kPageSize == 0 && (head.data_runs > 0) == (head.content_bytes > 0);
      break;
  }
  if (!sound) return fail(Code::kCorrupt, "frame head contradicts itself");
  return head;
}

void encode(const engine::PageRun& run, std::span<std::byte, kRunSize> out) {
  put(out.data(), run.space);
  put(out.data() + 4, static_cast<uint32_t>(run.length / kPageSize));
  put(out.data() + 8, run.address);
}

Result<void> decode_runs(std::span<const std::byte> bytes, std::vector<engine::PageRun>& out) {
  for (size_t at = 0; at + kRunSize <= bytes.size(); at += kRunSize) {
    engine::PageRun run;
    run.space = get<uint32_t>(bytes.data() + at);
    run.length = uint64_t{get<uint32_t>(bytes.data() + at + 4)} * kPageSize;
    run.address = get<uint64_t>(bytes.data() + at + 8);
    if (run.length == 0 || run.address % kPageSize != 0 || run.address >= kAddressLimit ||
        run.length > kAddressLimit - run.address) {
      return fail(Code::kCorrupt, "page run that can't be: address " + std::to_string(run.address) + ", " +
                                      std::to_string(run.length) + " bytes");
    }
    out.push_back(run);
  }
  return {};
}

Result<uint64_t> total_length(std::span<const engine::PageRun> runs, uint64_t limit) {
  uint64_t sum = 0;
  for (const auto& run : runs) {
    if (run.length > limit - sum) return fail(Code::kCorrupt, "runs are longer than their frame's content");
    sum += run.length;
  }
  return sum;
}

bool is_zero_page(const std::byte* page) {
  // Most pages with content show it in their first cache line; only zero pages are read to the end.
  uint64_t words[8];
  std::memcpy(words, page, sizeof words);
  if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) != 0) return false;
  return std::memcmp(page, page + sizeof words, kPageSize - sizeof words) == 0;  // each part equals the one before it
}

Digest128 digest_of(std::span<const std::byte> runs, std::span<const std::byte> content) {
  XXH128_hash_t hash;
  if (runs.empty()) {
    hash = XXH3_128bits(content.data(), content.size());
  } else {
    // The runs' digest seeds the content's: one pass over each, no copy, and no streaming state.
    const XXH64_hash_t seed = XXH3_64bits(runs.data(), runs.size());
    hash = XXH3_128bits_withSeed(content.data(), content.size(), seed);
  }
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, hash);
  Digest128 out;
  std::memcpy(out.data(), canonical.digest, out.size());
  return out;
}

}  // namespace godwit::migration
