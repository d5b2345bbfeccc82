// Reading and writing the content of one file by chunks.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "files/chunk.h"

namespace godwit::files {

/// Reads a chunk from where it is said to lie in a file below `root`; Code::kGone if it is no longer that chunk.
Result<void> read_checked(const Fd& root, const std::string& path, uint64_t offset, const ChunkId& id,
                          std::span<std::byte> out);

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
