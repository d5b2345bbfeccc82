// ImageWriter: where a source engine sends its memory when it is to lie still.
//
//     TRY(auto writer, image::ImageWriter::to_directory("dump", {}));
//     TRY(const std::string outline, source.freeze());
//     TRY(std::string state, source.capture(*writer));
//     image::Manifest manifest = image::new_manifest();
//     manifest.state = state; …
//     TRY(const image::Written written, writer->finish(std::move(manifest)));
//
// Until finish() returned there is no image: destroying the writer (or the death of the process) leaves nothing that a
// reader would take for one. pages() and holes() may come in any number of rounds; the newest mention of a page counts.
// Threads: one at a time (as engine::SourceEngine promises); the writer makes its own helpers and reads the PageReader
// from several of them.
#pragma once

#include <memory>

#include "base/fd.h"
#include "engine/engine.h"
#include "image/manifest.h"

namespace godwit::image {

class History;
class ImageReader;
class RecordSink;

struct WriteOptions {
  unsigned threads = 2;
  int zstd_level = 0;  ///< packs only; a chunk store has its own level
  bool durable = false;  ///< wait for the disk in finish()
  DigestKind digest = DigestKind::kXxh3;
};

/// What an image cost.
struct Written {
  Manifest manifest;  ///< as it was stored
  uint64_t bytes_raw = 0;  ///< page content that came in, without zero pages
  uint64_t bytes_stored = 0;  ///< what was added on disk, manifest included
  uint64_t zero_bytes = 0;
};

class ImageWriter : public engine::PageSink {
 public:
  /// A directory: DIR/manifest and DIR/pack-N. Fastest. Made if missing; one that holds an image is Code::kRefused.
  static Result<std::unique_ptr<ImageWriter>> to_directory(const std::string& path, const WriteOptions& options);
  /// One file; it appears under its name when it is complete, and replaces an older one.
  static Result<std::unique_ptr<ImageWriter>> to_file(const std::string& path, const WriteOptions& options);
  /// One file's bytes into a pipe or socket.
  static Result<std::unique_ptr<ImageWriter>> to_stream(Fd fd, const WriteOptions& options);
  /// A checkpoint in a unit's history; Manifest::checkpoint is its number (0: the next). Costs what its predecessors lack.
  /// The history must outlive the writer. From here until the writer goes no chunk is collected.
  static Result<std::unique_ptr<ImageWriter>> to_history(const History& history, const WriteOptions& options);
  ~ImageWriter() override;

  Result<void> pages(std::span<const engine::PageRun> runs, engine::PageReader& reader) override;
  Result<void> holes(std::span<const engine::PageRun> runs) override;
  void only(std::span<const engine::PageRun> runs) override;

  /// Room in the image's files for about `bytes` of pages, made before a program stands: of a memory file system half of the
  /// cost of a write is to find the pages. Only a hint; a store of chunks and what is squeezed have no use for it.
  void reserve(uint64_t bytes);

  /// Stores content that belongs to a section (name it in Section::chunks). At most kMaxChunkBytes. The same twice
  /// costs once.
  Result<ChunkId> put_chunk(std::span<const std::byte> content);

  /// Adds everything that `from` holds: its memory and the chunks of its sections. With finish(from.manifest()) that makes
  /// a copy in another form. Every byte is checked on the way.
  Result<void> copy(const ImageReader& from);

  /// Completes the image. `manifest` brings the identity, the engine's messages and the sections; the rest is filled
  /// in.
  Result<Written> finish(Manifest manifest);

  struct Impl;
  explicit ImageWriter(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace godwit::image
