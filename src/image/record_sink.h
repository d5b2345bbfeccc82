// Where the writer puts records: packs in a directory, one file, or a chunk store. Private to the module.
#pragma once

#include <memory>

#include "base/fd.h"
#include "image/manifest.h"

namespace godwit::image {

class History;

struct Placed {
  Extent where;
  ChunkId digest;
};

class RecordSink {
 public:
  virtual ~RecordSink() = default;
  virtual Place place() const = 0;
  /// Stores `plain`. The buffer must have room for zeros up to the next multiple of 4096, which this writes.
  /// Thread-safe for different lanes.
  virtual Result<Placed> put(unsigned lane, std::span<std::byte> plain, DigestKind digest) = 0;
  /// Room for about so many bytes of records, made now. Only a hint: what can't be had shows when it is written.
  virtual void reserve(uint64_t bytes) { (void)bytes; }
  /// Writes the manifest (whose pack_bytes this fills in) and gives the image its name: from here on it exists.
  /// Destroyed without it, everything written is removed. Gives the bytes that the image takes.
  virtual Result<uint64_t> finish(Manifest& manifest) = 0;
};

struct PackOptions {
  unsigned lanes = 2;
  int zstd_level = 0;    ///< 0: plain
  bool durable = false;  ///< wait for the disk
  ImageId image_id{};
};
Result<std::unique_ptr<RecordSink>> open_directory_sink(const std::string& path, const PackOptions& options);
Result<std::unique_ptr<RecordSink>> open_file_sink(const std::string& path, const PackOptions& options);
/// For a pipe or socket: nothing is sought.
Result<std::unique_ptr<RecordSink>> open_stream_sink(Fd fd, const PackOptions& options);
/// Chunks in the history's store, the manifest in the history.
Result<std::unique_ptr<RecordSink>> open_history_sink(const History& history, bool durable);

}  // namespace godwit::image
