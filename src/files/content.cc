#include "files/content.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "files/beneath.h"

namespace godwit::files {
namespace {

constexpr size_t kBlock = 4096;

const Content::Piece* piece_at(const Content& content, uint64_t index) {
  const auto at = std::ranges::lower_bound(content.pieces, index, {}, &Content::Piece::index);
  return at != content.pieces.end() && at->index == index ? &*at : nullptr;
}

// Writes what isn't zero, a run of blocks at a time.
Result<void> write_sparse(const Fd& file, std::span<const std::byte> data, uint64_t offset) {
  for (size_t at = 0; at < data.size();) {
    const auto zero_at = [&](size_t p) { return is_zero(data.subspan(p, std::min(kBlock, data.size() - p))); };
    size_t end = at;
    while (end < data.size() && !zero_at(end)) end = std::min(end + kBlock, data.size());
    if (end > at) TRY_DO(io::pwrite_full(file.get(), data.subspan(at, end - at), offset + at));
    at = std::min(end + kBlock, data.size());
  }
  return {};
}

Result<void> set_size(const Fd& file, uint64_t size) {
  if (::ftruncate(file.get(), static_cast<off_t>(size)) < 0)
    return fail_errno(errno, "setting a file's size to " + std::to_string(size));
  return {};
}

// Copies within the kernel where the file system can; true if the whole piece was there. The copy shares blocks on
// file systems that know how. What the old file holds now is what `content` says, or the next look finds out.
bool copy_piece(const OldFile& old, const Fd& to, uint64_t offset, uint32_t length) {
  auto in = static_cast<off_t>(offset);
  auto out = static_cast<off_t>(offset);
  for (uint64_t left = length; left > 0;) {
    const ssize_t n = ::copy_file_range(old.file->get(), &in, to.get(), &out, left, 0);
    if (n <= 0) return false;
    left -= static_cast<uint64_t>(n);
  }
  return true;
}

Result<void> zero_range(const Fd& file, uint64_t offset, uint64_t length, std::span<std::byte> buffer) {
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (::fallocate(file.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(length)) == 0) return {};
  std::ranges::fill(buffer, std::byte{0});
  for (uint64_t at = 0; at < length; at += buffer.size())
    TRY_DO(io::pwrite_full(file.get(), buffer.first(std::min<uint64_t>(buffer.size(), length - at)), offset + at));
  return {};
}

}  // namespace

void FileChunks::add(const std::string& path, const Content& content) {
  if (content.pieces.empty()) return;
  paths_.push_back(path);
  const auto index = static_cast<uint32_t>(paths_.size() - 1);
  for (const Content::Piece& piece : content.pieces)
    places_.try_emplace(piece.id, Place{index, piece.index * kChunkSize});
}

Result<void> FileChunks::read(const ChunkId& id, std::span<std::byte> out) const {
  const auto at = places_.find(id);
  if (at == places_.end()) return fail(Code::kNotFound, "no file here has chunk " + id.hex());
  const std::string& path = paths_[at->second.path];
  constexpr int kFlags = O_RDONLY | O_NONBLOCK;
  auto file = resolve_ == Resolve::kBeneath ? open_beneath(root_, path, kFlags | O_NOFOLLOW)
                                            : open_in_root(root_, path, kFlags);
  if (!file || !io::pread_full(file->get(), out, at->second.offset) || chunk_id_of(out) != id)
    return fail(Code::kGone, "'" + path + "' changed since it was looked at");
  return {};
}

Result<void> write_content(const Fd& file, const Content& content, const OldFile& old, const ChunkSource& chunks,
                           std::span<std::byte> buffer) {
  TRY_DO(set_size(file, content.size));
  for (const Content::Piece& piece : content.pieces) {
    const uint64_t offset = piece.index * kChunkSize;
    const uint32_t length = content.piece_length(piece.index);
    const auto* before = old.content != nullptr && old.file != nullptr ? piece_at(*old.content, piece.index) : nullptr;
    const bool same = before != nullptr && before->id == piece.id && old.content->piece_length(piece.index) == length;
    if (same && copy_piece(old, file, offset, length)) continue;
    const auto data = buffer.first(length);
    TRY_DO(chunks.read(piece.id, data));
    TRY_DO(write_sparse(file, data, offset));
  }
  return {};
}

Result<void> patch_content(const Fd& file, const Content& from, const Content& to, const ChunkSource& chunks,
                           std::span<std::byte> buffer) {
  if (from.size != to.size) TRY_DO(set_size(file, to.size));
  for (const Content::Piece& piece : to.pieces) {
    const auto* before = piece_at(from, piece.index);
    const uint32_t length = to.piece_length(piece.index);
    if (before != nullptr && before->id == piece.id && from.piece_length(piece.index) == length) continue;
    const auto data = buffer.first(length);
    TRY_DO(chunks.read(piece.id, data));
    TRY_DO(io::pwrite_full(file.get(), data, piece.index * kChunkSize));
  }
  for (const Content::Piece& piece : from.pieces) {
    const uint64_t length = to.piece_length(piece.index);
    if (length > 0 && piece_at(to, piece.index) == nullptr)
      TRY_DO(zero_range(file, piece.index * kChunkSize, length, buffer));
  }
  return {};
}

}  // namespace godwit::files
