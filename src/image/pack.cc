#include "image/pack.h"

#include <zstd.h>

#include <memory>

#include "image/bytes.h"

namespace godwit::image {

std::string pack_header(const ImageId& id, uint32_t number) {
  std::string block(kPageBytes, '\0');
  block.replace(0, kPackMagic.size(), kPackMagic);
  put_le32(block, 8, kFormatVersion);
  put_le32(block, 12, number);
  block.replace(16, id.size(), reinterpret_cast<const char*>(id.data()), id.size());
  return block;
}

std::string file_end(uint64_t manifest_offset, uint64_t manifest_bytes) {
  std::string end(32, '\0');
  end.replace(0, kEndMagic.size(), kEndMagic);
  put_le32(end, 8, kFormatVersion);
  put_le64(end, 16, manifest_offset);
  put_le64(end, 24, manifest_bytes);
  const ChunkId digest = sha256(std::as_bytes(std::span(end)));
  return end.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
}

std::span<const std::byte> compress(int level, std::span<const std::byte> plain, std::span<std::byte> scratch) {
  thread_local const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  const size_t room = plain.size() - plain.size() / 8;
  const size_t got = ZSTD_compressCCtx(context.get(), scratch.data(), room, plain.data(), plain.size(), level);
  if (ZSTD_isError(got) != 0 || got >= room) return {};  // it doesn't fit: it doesn't pay
  return scratch.first(got);
}

Result<void> decompress(std::span<const std::byte> stored, std::span<std::byte> out) {
  thread_local const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
  const size_t got = ZSTD_decompressDCtx(context.get(), out.data(), out.size(), stored.data(), stored.size());
  if (ZSTD_isError(got) != 0) return fail(Code::kCorrupt, std::string("compressed bytes: ") + ZSTD_getErrorName(got));
  if (got != out.size())
    return fail(Code::kCorrupt,
                "compressed bytes: " + std::to_string(got) + " came out, expected " + std::to_string(out.size()));
  return {};
}

}  // namespace godwit::image
