// Limits of the image format, with the reason of each. A reader checks them before it allocates.
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::image {

/// Pages are counted in units of 4096 bytes on every architecture, whatever the hardware's page is.
inline constexpr uint64_t kPageBytes = 4096;
/// A record fits into a second-level cache together with nothing else, and is long enough that a system call a record
/// doesn't show in a profile.
inline constexpr uint64_t kRecordBytes = 1u << 20;
inline constexpr uint64_t kRecordPages = kRecordBytes / kPageBytes;
/// Memory in a chunk store is cut at multiples of this address, so that the same page falls into the same chunk in
/// every checkpoint. Smaller would mean more files, larger would store more unchanged pages beside a changed one.
inline constexpr uint64_t kMemoryChunkBytes = 256u << 10;
/// The largest chunk: the buffer a reader makes. Files are cut at 1 MiB; four times that leaves room for another cut.
inline constexpr uint64_t kMaxChunkBytes = 4u << 20;
/// The largest manifest: 8 million page runs, or an image of 64 GiB in which every other page is zero.
inline constexpr uint64_t kMaxManifestBytes = 64u << 20;
/// Top-level rows of a manifest that are messages of their own (see image.proto for why they are few).
inline constexpr size_t kMaxSections = 1024;
/// Fields at the top level, known or not: more can only be meant to fill memory.
inline constexpr size_t kMaxTopFields = 4096;
/// Packs of one image; each is an open descriptor.
inline constexpr size_t kMaxPacks = 64;
/// Names and words (unit, engine, section …): shown to people.
inline constexpr size_t kMaxWordBytes = 4096;
/// No address space known is larger than 57 bits; a file-like space is below 2^63.
inline constexpr uint64_t kMaxPage = uint64_t{1} << 51;

}  // namespace godwit::image
