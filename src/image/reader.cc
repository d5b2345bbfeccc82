// Why records are read with pread and not mapped: the digest must hold for the bytes that are handed on. A mapped file
// can change between the two, and a truncated one kills the reader with SIGBUS. The copy into a buffer that stays in
// the cache costs a fraction of what the writing into the target does.
#include "image/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <unordered_map>

#include "base/crew.h"
#include "base/io.h"
#include "base/sys.h"
#include "image/buffer.h"
#include "image/bytes.h"
#include "image/history.h"
#include "image/pack.h"

namespace godwit::image {

struct ImageReader::Impl {
  ReadOptions options;
  Manifest manifest;
  std::vector<Fd> packs;
  const ChunkStore* store = nullptr;  ///< of an image whose memory is in chunks
  std::optional<ChunkStore::Session> session;
  std::unordered_map<ChunkId, size_t, ChunkIdHash> embedded;

  Result<void> take_manifest(const std::string& frame);
  Result<void> open_directory(const Fd& dir);
  Result<void> open_file(Fd fd);
  Result<void> check_pack(size_t number, uint64_t there) const;
  /// Reads an extent and checks padding and digest. `out` has room for kMaxChunkBytes.
  Result<void> read_extent(const Extent& where, DigestKind kind, const ChunkId& digest, std::byte* out,
                           std::byte* scratch) const;
  Result<void> read_record(const Record& record, std::byte* out, std::byte* scratch) const;
};

namespace {

std::unexpected<Error> corrupt(std::string text) { return fail(Code::kCorrupt, std::move(text)); }

/// A pread behind the end of a file whose length was checked: somebody shortened it meanwhile.
Result<void> read_at(const Fd& fd, std::span<std::byte> out, uint64_t offset) {
  auto done = io::pread_full(fd.get(), out, offset);
  if (!done && done.error().code == Code::kPeer) return corrupt("truncated: " + done.error().text);
  return done;
}

Result<uint64_t> regular_size(const Fd& fd, std::string_view what) {
  TRY(const struct stat info, sys::stat(fd));
  if (!S_ISREG(info.st_mode)) return corrupt(fmt::format("{} is not a regular file", what));
  return static_cast<uint64_t>(info.st_size);
}

/// Opens without waiting for the writer of a FIFO, and without following a link out of the image.
Result<Fd> open_part(const Fd& dir, const std::string& name) {
  auto fd = sys::open_at(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!fd && fd.error().errnum == ENOENT) return corrupt(fmt::format("not a complete image: it has no {}", name));
  return fd;
}

Result<std::string> read_text(const Fd& fd, uint64_t offset, uint64_t bytes) {
  std::string text(bytes, '\0');
  TRY_DO(read_at(fd, std::as_writable_bytes(std::span(text)), offset));
  return text;
}

bool all_zero(std::span<const std::byte> data) {
  return std::ranges::all_of(data, [](std::byte b) { return b == std::byte{0}; });
}

constexpr uint64_t kMaxFrameBytes = kMaxManifestBytes + 64;

}  // namespace

Result<void> ImageReader::Impl::check_pack(size_t number, uint64_t there) const {
  if (there != manifest.pack_bytes[number])
    return corrupt(
        fmt::format("pack {} is {} bytes long, the manifest says {}", number, there, manifest.pack_bytes[number]));
  TRY(const std::string header, read_text(packs[number], 0, kPageBytes));
  if (header != pack_header(manifest.image_id, static_cast<uint32_t>(number)))
    return corrupt(fmt::format("pack {} is damaged or belongs to another image", number));
  return {};
}

Result<void> ImageReader::Impl::take_manifest(const std::string& frame) {
  TRY(manifest, decode(std::as_bytes(std::span(frame))));
  if (manifest.memory.place == Place::kChunk && !manifest.memory.records.empty())
    return corrupt("the image's memory lies in a chunk store, it can't be read alone");
  return {};
}

Result<void> ImageReader::Impl::open_directory(const Fd& dir) {
  TRY(const Fd fd, open_part(dir, kManifestName));
  TRY(const uint64_t bytes, regular_size(fd, "the manifest"));
  if (bytes > kMaxFrameBytes) return corrupt(fmt::format("a manifest of {} bytes, at most {}", bytes, kMaxFrameBytes));
  TRY(const std::string frame, read_text(fd, 0, bytes));
  TRY_DO(take_manifest(frame));
  for (size_t i = 0; i < manifest.pack_bytes.size(); i++) {
    TRY(Fd pack, open_part(dir, pack_name(i)));
    TRY(const uint64_t there, regular_size(pack, pack_name(i)));
    packs.push_back(std::move(pack));
    TRY_DO(check_pack(i, there));
  }
  return {};
}

Result<void> ImageReader::Impl::open_file(Fd fd) {
  TRY(const uint64_t bytes, regular_size(fd, "the image"));
  if (bytes < kPageBytes + kEndBytes) return corrupt(fmt::format("not a Godwit image: only {} bytes", bytes));
  TRY(const std::string magic, read_text(fd, 0, kPackMagic.size()));
  if (magic != kPackMagic) return corrupt("not a Godwit image (wrong first bytes)");
  TRY(const std::string end, read_text(fd, bytes - kEndBytes, kEndBytes));
  const uint64_t at = get_le64(end, 16), length = get_le64(end, 24);
  if (!std::string_view(end).starts_with(kEndMagic)) return corrupt("the image is truncated: its end is missing");
  const uint32_t version = get_le32(end, 8);
  if (version == 0 || version > kFormatVersion)
    return fail(Code::kRefused,
                fmt::format("the image has format version {}, this Godwit reads up to {}", version, kFormatVersion));
  if (length > kMaxFrameBytes || length > bytes - kEndBytes || at != bytes - kEndBytes - length ||
      end != file_end(at, length))
    return corrupt("the image's end is damaged or part of it is missing");
  TRY(const std::string frame, read_text(fd, at, length));
  TRY_DO(take_manifest(frame));
  if (manifest.pack_bytes.size() != 1) return corrupt("a single file with several packs");
  packs.push_back(std::move(fd));
  return check_pack(0, at);
}

Result<void> ImageReader::Impl::read_extent(const Extent& where, DigestKind kind, const ChunkId& digest, std::byte* out,
                                            std::byte* scratch) const {
  const uint64_t bytes = where.bytes_stored();
  std::byte* into = where.stored != 0 ? scratch : out;
  const std::span<std::byte> padded(into, where.end() - where.offset);
  TRY_DO(read_at(packs[where.pack], padded, where.offset));
  if (!all_zero(padded.subspan(bytes)))
    return corrupt(fmt::format("damaged at byte {} of pack {}", where.offset, where.pack));
  const std::span<std::byte> plain(out, where.length);
  if (where.stored != 0) TRY_DO(decompress(padded.first(bytes), plain));
  const bool good = kind == DigestKind::kXxh3
                        ? std::ranges::equal(xxh3_128(plain), std::span(digest.bytes).first(sizeof(Xxh128)))
                        : sha256(plain) == digest;
  if (!good)
    return corrupt(fmt::format("damaged: the digest of the {} bytes at {} of pack {} doesn't fit", bytes, where.offset,
                               where.pack));
  return {};
}

Result<void> ImageReader::Impl::read_record(const Record& record, std::byte* out, std::byte* scratch) const {
  if (manifest.memory.place == Place::kPack)
    return read_extent(record.where, manifest.memory.digest, record.digest, out, scratch);
  auto got = store->get_into(record.digest, {out, record.where.length});
  // The manifest says that it is there: then its absence is damage.
  if (!got && got.error().code == Code::kNotFound) return std::unexpected(got.error().as(Code::kCorrupt));
  return got;
}

ImageReader::ImageReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ImageReader::~ImageReader() = default;
const Manifest& ImageReader::manifest() const { return impl_->manifest; }

std::unique_ptr<ImageReader> ImageReader::finish_open(std::unique_ptr<Impl> impl) {
  const auto& embedded = impl->manifest.embedded;
  for (size_t i = 0; i < embedded.size(); i++) impl->embedded[embedded[i].id] = i;
  return std::make_unique<ImageReader>(std::move(impl));
}

Result<std::unique_ptr<ImageReader>> ImageReader::open(const std::string& path, const ReadOptions& options) {
  auto fd = sys::open(path, O_RDONLY | O_NONBLOCK);
  if (!fd) return std::unexpected(fd.error().errnum == ENOENT ? fd.error().as(Code::kNotFound) : fd.error());
  TRY(const struct stat info, sys::stat(*fd));
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  TRY_IN(path, S_ISDIR(info.st_mode) ? impl->open_directory(*fd) : impl->open_file(std::move(*fd)));
  return finish_open(std::move(impl));
}

Result<std::unique_ptr<ImageReader>> ImageReader::open_stream(Fd fd, const ReadOptions& options) {
  const char* base = std::getenv("TMPDIR");
  TRY(Fd spool, sys::open(base != nullptr ? base : "/var/tmp", O_RDWR | O_TMPFILE, 0600));
  const Buffer buffer(kRecordBytes);
  for (;;) {
    TRY(const size_t got, io::read_some(fd.get(), buffer.span()));
    if (got == 0) break;
    TRY_IN("copying the image", io::write_full(spool.get(), buffer.span().first(got)));
  }
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  TRY_DO(impl->open_file(std::move(spool)));
  return finish_open(std::move(impl));
}

Result<std::unique_ptr<ImageReader>> ImageReader::open_checkpoint(const History& history, const std::string& unit,
                                                                  uint64_t number, const ReadOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->store = &history.store();
  TRY(auto session, impl->store->session());
  impl->session.emplace(std::move(session));
  TRY(impl->manifest, history.load(unit, number));
  return finish_open(std::move(impl));
}

Result<void> ImageReader::visit(unsigned lanes, const Use& use) const {
  const Memory& memory = impl_->manifest.memory;
  lanes = std::clamp(lanes, 1u, 16u);
  std::vector<Buffer> buffers, scratch;
  for (unsigned lane = 0; lane < lanes && lane < memory.records.size(); lane++) {
    buffers.emplace_back(kRecordBytes);
    scratch.emplace_back(kRecordBytes);
  }
  return share_work(lanes, memory.records.size(), [&](unsigned lane, size_t i) -> Result<void> {
    const Record& record = memory.records[i];
    TRY_DO(impl_->read_record(record, buffers[lane].data(), scratch[lane].data()));
    auto content = std::span<const std::byte>(buffers[lane].data(), record.where.length);
    const auto runs = std::span(memory.runs).subspan(record.first_run, record.run_count);
    // Up to the next replaced run in one call; usually that is all of them.
    for (size_t at = 0; at < runs.size();) {
      size_t end = at;
      uint64_t bytes = 0;
      const bool replaced = runs[at].space == kReplaced;
      while (end < runs.size() && (runs[end].space == kReplaced) == replaced) bytes += runs[end++].length;
      if (!replaced) TRY_DO(use(lane, runs.subspan(at, end - at), content.first(bytes)));
      content = content.subspan(bytes);
      at = end;
    }
    return {};
  });
}

Result<void> ImageReader::load_pages(engine::PageWriter& writer) const {
  const auto& zeros = impl_->manifest.memory.zeros;
  if (!zeros.empty()) TRY_DO(writer.zero(zeros));
  return visit(impl_->options.threads, [&](unsigned, std::span<const engine::PageRun> runs,
                                           std::span<const std::byte> content) { return writer.write(runs, content); });
}

Result<std::string> ImageReader::read_chunk(const ChunkId& id) const {
  const auto it = impl_->embedded.find(id);
  if (it == impl_->embedded.end() && impl_->store != nullptr) return impl_->store->get(id);
  if (it == impl_->embedded.end()) return fail(Code::kNotFound, "chunk " + id.hex() + " is not in the image");
  const Extent& where = impl_->manifest.embedded[it->second].where;
  const Buffer out(kMaxChunkBytes), scratch(where.stored != 0 ? kMaxChunkBytes : kPageBytes);
  TRY_DO(impl_->read_extent(where, DigestKind::kSha256, id, out.data(), scratch.data()));
  return std::string(reinterpret_cast<const char*>(out.data()), where.length);
}

Result<void> ImageReader::verify() const {
  TRY_DO(visit(impl_->options.threads,
               [](unsigned, std::span<const engine::PageRun>, std::span<const std::byte>) { return Result<void>{}; }));
  for (const EmbeddedChunk& chunk : impl_->manifest.embedded) TRY_DO(read_chunk(chunk.id));
  for (const Section& section : impl_->manifest.sections)
    for (const ChunkId& id : section.chunks) TRY_DO(read_chunk(id));
  return {};
}

}  // namespace godwit::image
