// How memory becomes records: the runs are cut into pieces of at most 1 MiB of memory (a chunk store: at multiples of
// 256 KiB of the address space, so that unchanged pages fall into the same chunk the next time); two threads take
// pieces in turn, read them into a buffer that stays in the cache, squeeze zero pages out, take the digest and write.
// So each byte is read from memory once and written once; everything between happens in the cache.
#include "image/writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "base/crew.h"
#include "image/buffer.h"
#include "image/history.h"
#include "image/memory.h"
#include "image/reader.h"
#include "image/record_sink.h"
#include "image/zero.h"

namespace godwit::image {

using engine::PageRun;

struct ImageWriter::Impl {
  explicit Impl(const WriteOptions& o) : options(o), id(new_manifest().image_id) {
    options.threads = std::clamp(options.threads, 1u, static_cast<unsigned>(kMaxPacks));
    for (unsigned lane = 0; lane < options.threads; lane++) buffers.emplace_back(kMaxChunkBytes);
  }
  PackOptions pack_options() const { return {options.threads, options.zstd_level, options.durable, id}; }

  Result<void> write_piece(unsigned lane, std::span<const PageRun> runs, engine::PageReader& reader);
  /// Stores the first `length` bytes of the lane's buffer as a record of `full`, and notes `zeros`.
  Result<void> write_record(unsigned lane, size_t length, std::span<const PageRun> full,
                            std::span<const PageRun> zeros);

  WriteOptions options;
  const ImageId id;
  std::unique_ptr<RecordSink> sink;
  std::vector<Buffer> buffers;

  std::mutex mutex;  // guards the rest
  Memory memory;
  std::vector<uint32_t> record_age, zero_age;
  std::vector<PageRun> wanted;  // empty: all
  uint32_t age = 0;
  std::unordered_map<ChunkId, size_t, ChunkIdHash> embedded_index;
  std::vector<EmbeddedChunk> embedded;
  uint64_t bytes_raw = 0;
};

namespace {

/// Runs cut into pieces of at most `limit` bytes, no piece across a multiple of `align` (0: wherever it comes).
/// `starts` has where each piece begins in `parts`, and the end.
struct Pieces {
  std::vector<PageRun> parts;
  std::vector<size_t> starts;
  [[nodiscard]] size_t count() const { return starts.size() - 1; }
  [[nodiscard]] std::span<const PageRun> at(size_t i) const {
    return std::span(parts).subspan(starts[i], starts[i + 1] - starts[i]);
  }
};

Pieces cut(std::span<const PageRun> runs, uint64_t limit, bool aligned) {
  Pieces out;
  uint64_t room = 0;
  engine::SpaceId space = 0;
  uint64_t block = 0;
  for (PageRun run : runs) {
    while (run.length > 0) {
      const uint64_t this_block = run.address / limit;
      if (room == 0 || (aligned && (space != run.space || block != this_block))) {
        out.starts.push_back(out.parts.size());
        room = limit;
        space = run.space;
        block = this_block;
      }
      const uint64_t until = aligned ? limit - run.address % limit : room;
      const uint64_t length = std::min({run.length, room, until});
      out.parts.push_back({run.space, run.address, length});
      run.address += length;
      run.length -= length;
      room -= length;
    }
  }
  out.starts.push_back(out.parts.size());
  return out;
}

void add_run(std::vector<PageRun>& to, const PageRun& run) {
  if (!to.empty() && to.back().space == run.space && to.back().address + to.back().length == run.address)
    to.back().length += run.length;
  else
    to.push_back(run);
}

/// Moves the pages with content to the front of `data`; gives their length and sorts the runs into `full` and `zeros`.
size_t squeeze(std::span<const PageRun> runs, std::byte* data, std::vector<PageRun>& full,
               std::vector<PageRun>& zeros) {
  const std::byte* from = data;
  std::byte* to = data;
  for (const PageRun& run : runs) {
    for (uint64_t at = 0; at < run.length; at += kPageBytes, from += kPageBytes) {
      const PageRun page{run.space, run.address + at, kPageBytes};
      if (is_zero_page(from)) {
        add_run(zeros, page);
        continue;
      }
      if (to != from) std::memcpy(to, from, kPageBytes);
      to += kPageBytes;
      add_run(full, page);
    }
  }
  return static_cast<size_t>(to - data);
}

Result<void> check_runs(std::span<const PageRun> runs) {
  for (const PageRun& run : runs) {
    const bool good = run.length > 0 && run.length % kPageBytes == 0 && run.address % kPageBytes == 0 &&
                      run.space != kReplaced && run.length / kPageBytes <= kMaxPage &&
                      run.address / kPageBytes <= kMaxPage - run.length / kPageBytes;
    if (!good) return fail(Code::kUsage, fmt::format("a page run of {} bytes at {:#x}", run.length, run.address));
  }
  return {};
}

}  // namespace

Result<void> ImageWriter::Impl::write_piece(unsigned lane, std::span<const PageRun> runs, engine::PageReader& reader) {
  uint64_t bytes = 0;
  for (const PageRun& run : runs) bytes += run.length;
  const std::span<std::byte> data = buffers[lane].span().first(bytes);
  TRY_DO(reader.read(runs, data));
  std::vector<PageRun> full, zeros;
  const size_t length = squeeze(runs, data.data(), full, zeros);
  return write_record(lane, length, full, zeros);
}

Result<void> ImageWriter::Impl::write_record(unsigned lane, size_t length, std::span<const PageRun> full,
                                             std::span<const PageRun> zeros) {
  Record record;
  if (length > 0) {
    TRY(const Placed placed, sink->put(lane, buffers[lane].span().first(length), options.digest));
    record.where = placed.where;
    record.digest = placed.digest;
  }
  const std::scoped_lock lock(mutex);
  memory.zeros.insert(memory.zeros.end(), zeros.begin(), zeros.end());
  zero_age.resize(memory.zeros.size(), age);
  if (length == 0) return {};
  record.first_run = static_cast<uint32_t>(memory.runs.size());
  record.run_count = static_cast<uint32_t>(full.size());
  memory.runs.insert(memory.runs.end(), full.begin(), full.end());
  memory.records.push_back(record);
  record_age.push_back(age);
  bytes_raw += length;
  return {};
}

ImageWriter::ImageWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ImageWriter::~ImageWriter() = default;

Result<std::unique_ptr<ImageWriter>> ImageWriter::to_directory(const std::string& path, const WriteOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  TRY(impl->sink, open_directory_sink(path, impl->pack_options()));
  return std::make_unique<ImageWriter>(std::move(impl));
}

Result<std::unique_ptr<ImageWriter>> ImageWriter::to_file(const std::string& path, const WriteOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  TRY(impl->sink, open_file_sink(path, impl->pack_options()));
  return std::make_unique<ImageWriter>(std::move(impl));
}

Result<std::unique_ptr<ImageWriter>> ImageWriter::to_stream(Fd fd, const WriteOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  TRY(impl->sink, open_stream_sink(std::move(fd), impl->pack_options()));
  return std::make_unique<ImageWriter>(std::move(impl));
}

Result<std::unique_ptr<ImageWriter>> ImageWriter::to_history(const History& history, const WriteOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  TRY(impl->sink, open_history_sink(history, options.durable));
  return std::make_unique<ImageWriter>(std::move(impl));
}

Result<void> ImageWriter::pages(std::span<const PageRun> runs, engine::PageReader& reader) {
  TRY_DO(check_runs(runs));
  impl_->age++;
  const bool chunks = impl_->sink->place() == Place::kChunk;
  const Pieces pieces = cut(runs, chunks ? kMemoryChunkBytes : kRecordBytes, chunks);
  return share_work(impl_->options.threads, pieces.count(),
                    [&](unsigned lane, size_t i) { return impl_->write_piece(lane, pieces.at(i), reader); });
}

Result<void> ImageWriter::holes(std::span<const PageRun> runs) {
  TRY_DO(check_runs(runs));
  impl_->age++;
  impl_->memory.zeros.insert(impl_->memory.zeros.end(), runs.begin(), runs.end());
  impl_->zero_age.resize(impl_->memory.zeros.size(), impl_->age);
  return {};
}

void ImageWriter::reserve(uint64_t bytes) { impl_->sink->reserve(bytes); }

void ImageWriter::only(std::span<const PageRun> runs) { impl_->wanted.assign(runs.begin(), runs.end()); }

Result<void> ImageWriter::copy(const ImageReader& from) {
  TRY_DO(holes(from.manifest().memory.zeros));
  impl_->age++;
  const bool chunks = impl_->sink->place() == Place::kChunk;
  const auto add = [&](unsigned lane, std::span<const PageRun> runs,
                       std::span<const std::byte> content) -> Result<void> {
    const Pieces pieces = cut(runs, chunks ? kMemoryChunkBytes : kRecordBytes, chunks);
    for (size_t i = 0; i < pieces.count(); i++) {
      size_t length = 0;
      for (const PageRun& run : pieces.at(i)) length += run.length;
      std::memcpy(impl_->buffers[lane].data(), content.data(), length);
      content = content.subspan(length);
      TRY_DO(impl_->write_record(lane, length, pieces.at(i), {}));
    }
    return {};
  };
  TRY_DO(from.visit(impl_->options.threads, add));
  for (const Section& section : from.manifest().sections)
    for (const ChunkId& id : section.chunks) {
      TRY(const std::string content, from.read_chunk(id));
      TRY_DO(put_chunk(std::as_bytes(std::span(content))));
    }
  return {};
}

Result<ChunkId> ImageWriter::put_chunk(std::span<const std::byte> content) {
  if (content.empty() || content.size() > kMaxChunkBytes)
    return fail(Code::kUsage, fmt::format("a chunk of {} bytes, allowed are 1 to {}", content.size(), kMaxChunkBytes));
  const ChunkId id = sha256(content);
  if (impl_->embedded_index.contains(id)) return id;
  std::memcpy(impl_->buffers[0].data(), content.data(), content.size());
  TRY(const Placed placed, impl_->sink->put(0, impl_->buffers[0].span().first(content.size()), DigestKind::kSha256));
  if (impl_->sink->place() == Place::kPack) {
    impl_->embedded_index[id] = impl_->embedded.size();
    impl_->embedded.push_back({id, placed.where});
  }
  return id;
}

Result<Written> ImageWriter::finish(Manifest manifest) {
  Written out;
  Memory& memory = impl_->memory;
  memory.place = impl_->sink->place();
  memory.digest = memory.place == Place::kChunk ? DigestKind::kSha256 : impl_->options.digest;
  settle(memory, impl_->record_age, impl_->zero_age, impl_->wanted);
  manifest.image_id = impl_->id;
  manifest.memory = std::move(memory);
  manifest.embedded = std::move(impl_->embedded);
  TRY(out.bytes_stored, impl_->sink->finish(manifest));
  out.bytes_raw = impl_->bytes_raw;
  for (const PageRun& run : manifest.memory.zeros) out.zero_bytes += run.length;
  out.manifest = std::move(manifest);
  return out;
}

}  // namespace godwit::image
