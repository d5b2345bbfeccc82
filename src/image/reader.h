// ImageReader: gives an image back. Bytes are hostile until they are checked, and nothing leaves unchecked.
//
//     TRY(auto image, image::ImageReader::open("dump"));           // directory or file
//     TRY_DO(destination.prepare(image->manifest().outline));
//     TRY_DO(image->load_pages(destination.writer()));
//     TRY_DO(destination.restore(image->manifest().state));
//
// open() checks the manifest and that the packs have the length it says; load_pages() checks each record before it
// hands it on; verify() checks every byte without handing anything on: call it first where a half-filled unit must not
// be. Threads: const methods may be called from several; load_pages() feeds the PageWriter from its own.
#pragma once

#include <functional>
#include <memory>

#include "base/fd.h"
#include "engine/engine.h"
#include "image/manifest.h"

namespace godwit::image {

class History;

struct ReadOptions {
  unsigned threads = 2;
};

class ImageReader {
 public:
  /// An image in a directory or a file. `path` is opened once; later renames don't matter.
  static Result<std::unique_ptr<ImageReader>> open(const std::string& path, const ReadOptions& options = {});
  /// An image that comes out of a pipe or socket: it is copied to a file without a name first, for its manifest is
  /// last.
  static Result<std::unique_ptr<ImageReader>> open_stream(Fd fd, const ReadOptions& options = {});
  /// A checkpoint of a unit's history. The history must outlive the reader; nothing is collected meanwhile.
  static Result<std::unique_ptr<ImageReader>> open_checkpoint(const History& history, const std::string& unit,
                                                              uint64_t number, const ReadOptions& options = {});
  ~ImageReader();

  const Manifest& manifest() const;
  /// Zero runs first, then all records, each checked before it goes to the writer.
  Result<void> load_pages(engine::PageWriter& writer) const;
  /// Calls `use` for each stretch of pages, from at most `lanes` threads (numbered from 0), after its check.
  using Use = std::function<Result<void>(unsigned lane, std::span<const engine::PageRun>, std::span<const std::byte>)>;
  Result<void> visit(unsigned lanes, const Use& use) const;
  /// Content of a section. At most kMaxChunkBytes. A chunk that isn't here is Code::kNotFound.
  Result<std::string> read_chunk(const ChunkId& id) const;
  /// Reads and checks every byte of the image.
  Result<void> verify() const;

  struct Impl;
  explicit ImageReader(std::unique_ptr<Impl> impl);

 private:
  static std::unique_ptr<ImageReader> finish_open(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace godwit::image
