#include "image/chunk_file.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "image/bytes.h"
#include "image/pack.h"

namespace godwit::image {
namespace {

// 0 magic[4] · 4 version · 5 flags · 6 zero[2] · 8 plain:u32 · 12 stored:u32 · 16 nonce[12] · 28 zero[4] · 32 payload · tag[16]
constexpr std::string_view kMagic = "GWCK";
constexpr unsigned char kVersion = 1;
constexpr unsigned char kCompressed = 1, kEncrypted = 2;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

unsigned char* bytes(std::span<std::byte> data) { return reinterpret_cast<unsigned char*>(data.data()); }

/// Encrypts or decrypts in place; `tag` is written or compared. False: the tag doesn't fit.
bool aes_gcm(bool encrypt, const StoreKey& key, std::span<const unsigned char> nonce, std::string_view header,
             const ChunkId& bound, std::span<std::byte> data, std::span<std::byte> tag) {
  const Cipher context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int done = 0;
  const auto* associated = reinterpret_cast<const unsigned char*>(header.data());
  bool good =
      EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data(), encrypt ? 1 : 0) == 1 &&
      EVP_CipherUpdate(context.get(), nullptr, &done, associated, static_cast<int>(header.size())) == 1 &&
      EVP_CipherUpdate(context.get(), nullptr, &done, bound.bytes.data(), static_cast<int>(bound.bytes.size())) == 1 &&
      EVP_CipherUpdate(context.get(), bytes(data), &done, bytes(data), static_cast<int>(data.size())) == 1;
  if (good && !encrypt)
    good = EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kChunkTagBytes, bytes(tag)) == 1;
  good = good && EVP_CipherFinal_ex(context.get(), bytes(data) + data.size(), &done) == 1;
  if (good && encrypt) good = EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kChunkTagBytes, bytes(tag)) == 1;
  return good;
}

}  // namespace

Result<ChunkHeader> decode_chunk_header(std::span<const std::byte> header, uint64_t limit) {
  const auto corrupt = [](std::string text) { return fail(Code::kCorrupt, "chunk file: " + std::move(text)); };
  if (header.size() < kChunkHeaderBytes) return corrupt(fmt::format("only {} bytes", header.size()));
  const std::string_view text(reinterpret_cast<const char*>(header.data()), kChunkHeaderBytes);
  if (!text.starts_with(kMagic)) return corrupt("wrong first bytes");
  const auto version = static_cast<unsigned char>(text[4]);
  if (version != kVersion)
    return fail(Code::kRefused, fmt::format("chunk file of version {}, this Godwit reads {}", version, kVersion));
  const auto flags = static_cast<unsigned char>(text[5]);
  ChunkHeader out;
  out.compressed = (flags & kCompressed) != 0;
  out.encrypted = (flags & kEncrypted) != 0;
  out.plain_bytes = get_le32(text, 8);
  out.stored_bytes = get_le32(text, 12);
  std::copy_n(text.data() + 16, out.nonce.size(), reinterpret_cast<char*>(out.nonce.data()));
  if ((flags & ~(kCompressed | kEncrypted)) != 0 || text[6] != 0 || text[7] != 0 || get_le32(text, 28) != 0)
    return corrupt("reserved bits that are not zero");
  if (!out.encrypted && std::ranges::any_of(out.nonce, [](unsigned char c) { return c != 0; }))
    return corrupt("reserved bits that are not zero");
  if (out.plain_bytes == 0 || out.plain_bytes > limit)
    return corrupt(fmt::format("{} bytes, allowed are 1 to {}", out.plain_bytes, limit));
  if (out.compressed ? out.stored_bytes >= out.plain_bytes : out.stored_bytes != out.plain_bytes)
    return corrupt(fmt::format("{} bytes stored as {}", out.plain_bytes, out.stored_bytes));
  return out;
}

Result<std::span<const std::byte>> encode_chunk(std::span<const std::byte> plain, const ChunkId& bound, int zstd_level,
                                                const std::optional<StoreKey>& key, std::span<std::byte> out) {
  GODWIT_CHECK(out.size() >= chunk_room(plain.size()));
  const auto payload = out.subspan(kChunkHeaderBytes);
  size_t stored = 0;
  if (zstd_level != 0) stored = compress(zstd_level, plain, payload.first(plain.size())).size();
  unsigned char flags = key ? kEncrypted : 0;
  if (stored != 0) {
    flags |= kCompressed;
  } else {
    std::ranges::copy(plain, payload.begin());
    stored = plain.size();
  }
  std::string header(kChunkHeaderBytes, '\0');
  header.replace(0, kMagic.size(), kMagic);
  header[4] = static_cast<char>(kVersion);
  header[5] = static_cast<char>(flags);
  put_le32(header, 8, static_cast<uint32_t>(plain.size()));
  put_le32(header, 12, static_cast<uint32_t>(stored));
  size_t total = kChunkHeaderBytes + stored;
  if (key) {
    // Random nonces are safe for 2^32 chunks under one key (NIST SP 800-38D, 8.3): 1 PiB of memory.
    std::array<unsigned char, 12> nonce;
    const ssize_t got = ::getrandom(nonce.data(), nonce.size(), 0);
    GODWIT_CHECK(got == static_cast<ssize_t>(nonce.size()), "getrandom");
    header.replace(16, nonce.size(), reinterpret_cast<const char*>(nonce.data()), nonce.size());
    const bool good =
        aes_gcm(true, *key, nonce, header, bound, payload.first(stored), payload.subspan(stored, kChunkTagBytes));
    GODWIT_CHECK(good, "AES-256-GCM from OpenSSL failed");
    total += kChunkTagBytes;
  }
  std::ranges::copy(std::as_bytes(std::span(header)), out.begin());
  return out.first(total);
}

Result<void> decode_chunk(const ChunkHeader& header, std::span<std::byte> file, const ChunkId& bound,
                          const std::optional<StoreKey>& key, std::span<std::byte> out) {
  if (file.size() != header.file_bytes())
    return fail(Code::kCorrupt,
                fmt::format("chunk file: {} bytes, its header says {}", file.size(), header.file_bytes()));
  const auto payload = file.subspan(kChunkHeaderBytes, header.stored_bytes);
  if (header.encrypted) {
    if (!key) return fail(Code::kRefused, "the chunk is encrypted and no key was given");
    const std::string_view text(reinterpret_cast<const char*>(file.data()), kChunkHeaderBytes);
    if (!aes_gcm(false, *key, header.nonce, text, bound, payload, file.last(kChunkTagBytes)))
      return fail(Code::kCorrupt, "chunk file: damaged, or encrypted with another key");
  }
  if (header.compressed) return decompress(payload, out);
  std::ranges::copy(payload, out.begin());
  return {};
}

}  // namespace godwit::image
