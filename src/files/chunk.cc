#include "files/chunk.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/check.h"
#include "base/io.h"
#include "base/sys.h"

namespace godwit::files {

std::string ChunkId::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(64);
  for (uint8_t b : bytes) {
    text += kDigits[b >> 4];
    text += kDigits[b & 15];
  }
  return text;
}

Result<ChunkId> ChunkId::from_raw(std::string_view raw) {
  ChunkId id;
  if (raw.size() != id.bytes.size())
    return fail(Code::kCorrupt, "a chunk name has " + std::to_string(raw.size()) + " bytes, not 32");
  std::memcpy(id.bytes.data(), raw.data(), raw.size());
  return id;
}

ChunkId chunk_id_of(std::span<const std::byte> data) {
  ChunkId id;
  unsigned length = 0;
  const int ok = EVP_Digest(data.data(), data.size(), id.bytes.data(), &length, EVP_sha256(), nullptr);
  GODWIT_CHECK(ok == 1 && length == id.bytes.size(), "SHA-256 of OpenSSL");
  return id;
}

bool is_zero(std::span<const std::byte> data) {
  // A region equals itself shifted by n bytes, and its first n bytes are zero: then all of it is. memcmp is vectorised.
  constexpr size_t kHead = 64;
  static constexpr std::byte kZeros[kHead]{};
  if (data.empty()) return true;
  const size_t head = std::min(kHead, data.size());
  if (std::memcmp(data.data(), kZeros, head) != 0) return false;
  return data.size() <= kHead || std::memcmp(data.data(), data.data() + kHead, data.size() - kHead) == 0;
}

uint32_t Content::piece_length(uint64_t index) const {
  const uint64_t start = index * kChunkSize;
  if (start >= size) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(kChunkSize, size - start));
}

uint64_t Content::data_bytes() const {
  uint64_t total = 0;
  for (const Piece& piece : pieces) total += piece_length(piece.index);
  return total;
}

bool AnySource::has(const ChunkId& id) const {
  for (const ChunkSource* source : sources_)
    if (source->has(id)) return true;
  return false;
}

Result<void> AnySource::read(const ChunkId& id, std::span<std::byte> out) const {
  Error last{Code::kNotFound, 0, "no source has chunk " + id.hex()};
  for (const ChunkSource* source : sources_) {
    auto r = source->read(id, out);
    if (r) return r;
    if (r.error().code != Code::kNotFound) last = std::move(r).error();
  }
  return std::unexpected(std::move(last));
}

Result<ChunkDir> ChunkDir::open(const std::string& path) {
  TRY_DO(sys::make_dirs(path, 0700));
  TRY(auto dir, sys::open(path, O_RDONLY | O_DIRECTORY));
  return ChunkDir(std::move(dir));
}

bool ChunkDir::has(const ChunkId& id) const { return ::faccessat(dir_.get(), id.hex().c_str(), F_OK, 0) == 0; }

Result<void> ChunkDir::read(const ChunkId& id, std::span<std::byte> out) const {
  auto file = sys::open_at(dir_, id.hex(), O_RDONLY | O_NOFOLLOW);
  if (!file) {
    if (file.error().errnum == ENOENT) return fail(Code::kNotFound, "no chunk " + id.hex());
    return std::unexpected(std::move(file).error());
  }
  TRY(auto st, sys::stat(*file));
  if (st.st_size < 0 || static_cast<uint64_t>(st.st_size) != out.size())
    return fail(Code::kCorrupt, "chunk " + id.hex() + " has " + std::to_string(st.st_size) + " bytes, not " +
                                    std::to_string(out.size()));
  TRY_DO(io::pread_full(file->get(), out, 0));
  if (chunk_id_of(out) != id) return fail(Code::kCorrupt, "chunk " + id.hex() + " is damaged in the store");
  return {};
}

Result<void> ChunkDir::put(const ChunkId& id, std::span<const std::byte> data) {
  if (data.size() > kChunkSize || chunk_id_of(data) != id)
    return fail(Code::kCorrupt, "the bytes given for chunk " + id.hex() + " are not that chunk");
  if (has(id)) return {};
  static std::atomic<uint64_t> serial{0};
  const std::string temporary = "tmp." + std::to_string(::getpid()) + "." + std::to_string(serial++);
  TRY(auto file, sys::open_at(dir_, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  auto written = io::write_full(file.get(), data);
  if (written && ::renameat(dir_.get(), temporary.c_str(), dir_.get(), id.hex().c_str()) < 0)
    written = fail_errno(errno, "rename of chunk " + id.hex());
  if (!written) ::unlinkat(dir_.get(), temporary.c_str(), 0);
  return written;
}

}  // namespace godwit::files
