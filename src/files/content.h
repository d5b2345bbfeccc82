// Reading and writing the content of one file by chunks.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "files/chunk.h"

namespace godwit::files {

/// Gives chunks from where they lie in files. What was changed since it was added is Code::kGone, never wrong bytes.
class FileChunks : public ChunkSource {
 public:
  enum class Resolve { kBeneath, kInRoot };  ///< how paths are opened from `root`; see beneath.h
  FileChunks(Fd root, Resolve resolve) : root_(std::move(root)), resolve_(resolve) {}
  void add(const std::string& path, const Content& content);
  [[nodiscard]] bool has(const ChunkId& id) const override { return places_.contains(id); }
  Result<void> read(const ChunkId& id, std::span<std::byte> out) const override;

 private:
  struct Place {
    uint32_t path = 0;  ///< index into paths_
    uint64_t offset = 0;
  };
  Fd root_;
  Resolve resolve_;
  std::vector<std::string> paths_;
  std::unordered_map<ChunkId, Place, ChunkIdHash> places_;
};

/// A file that lies here already and shares chunks with what is to be written: those at the same index needn't be
/// fetched.
struct OldFile {
  const Fd* file = nullptr;          ///< open for reading; null: there is none
  const Content* content = nullptr;  ///< what it holds; null: nothing known
};

/// Fills a new, empty file. Zeros become holes. `buffer` has kChunkSize bytes.
Result<void> write_content(const Fd& file, const Content& content, const OldFile& old, const ChunkSource& chunks,
                           std::span<std::byte> buffer);
/// Turns a file with content `from` into `to`, writing only what differs.
Result<void> patch_content(const Fd& file, const Content& from, const Content& to, const ChunkSource& chunks,
                           std::span<std::byte> buffer);

}  // namespace godwit::files
