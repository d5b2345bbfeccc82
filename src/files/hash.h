// Hashing many files at once: two threads, holes skipped, changes during the reading noticed.
//
// When is an old hash still true? A file whose (device, inode, size, mtime, ctime) are what they were has the same
// content, but for three cases, each dealt with:
//   * it was written within one tick of the file system's clock after the hash began: such a stamp isn't `settled` and
//     is never believed again (git's "racily clean" entries are the same thing);
//   * it is on a network file system, whose clock and caching are another machine's, or on a tmpfs, where a write through
//     a mapping to a page that was read there before (or lies beside one) changes no time at all, and the mapping may be
//     gone when somebody looks: never settled;
//   * it is mapped MAP_SHARED and written through the mapping: the kernel updates mtime only at the first write to a
//     page after it was written back (page_mkwrite). Who knows of such mappings names those files
//     (SnapshotOptions::always_read); they are read each time, and not settled for the next.
// A file that must be read again needn't be SHA-256'ed again: beside each chunk's name we keep a *fingerprint*, its
// GMAC under a key that lives only as long as this process. It runs at memory speed (about eight times as fast as
// SHA-256 with SHA-NI), and as nobody ever sees the key or a tag, not even a hostile program can make two contents
// collide in it. So append-only growth of a log costs one fast pass over the old part and SHA-256 for the new part
// only. Not reading the old part at all would be sound only if nothing could have written there, and Linux doesn't tell
// that of a file that merely has O_APPEND descriptors (`: > /dev/stdout` truncates it).
#pragma once

#include <array>
#include <functional>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "files/chunk.h"
#include "files/recipe.h"

namespace godwit::files {

using Fingerprint = std::array<uint8_t, 16>;

/// A content hash with what is needed to know cheaply whether it is still true. Never leaves this process.
struct Hashed {
  Content content;
  std::vector<Fingerprint> fingerprints;  ///< one for each piece, or none
  Stamp stamp;
  bool settled = false;  ///< the stamp may be believed; see above
};

class HashCache;

struct HashJob {
  std::string name;  ///< for messages
  std::function<Result<Fd>()> open;  ///< gives the file, O_RDONLY; called from the hashing threads, maybe often
  const Hashed* previous = nullptr;  ///< what was known of it, to be checked chunk by chunk; may be null
  bool with_fingerprints = false;
  Hashed result;
  bool stable = true;  ///< false: it changed each time we read it; the result is a mixture
  Result<void> status;
};

/// Does all jobs; each one's `status` and `result` tell how it went. `cache` may be null.
void hash_files(std::span<HashJob> jobs, HashCache* cache, const Progress& progress);

/// Contents by stamp, kept in a directory (one small file an inode), so that a big library or database is hashed once.
/// Several processes may use one at a time. Damaged entries are forgotten, not trusted. Losing it costs only time.
class HashCache {
 public:
  static Result<HashCache> open(const std::string& directory);
  /// False: not known. Only for files of kWorthwhile bytes or more.
  bool find(const Stamp& stamp, Content& content) const;
  void keep(const Stamp& stamp, const Content& content);
  /// Removes the oldest entries beyond `entries`.
  Result<void> trim(size_t entries);
  static constexpr uint64_t kWorthwhile = 256u << 10;  ///< below this, hashing is as fast as asking

 private:
  explicit HashCache(std::string path, Fd dir) : path_(std::move(path)), dir_(std::move(dir)) {}
  std::string path_;
  Fd dir_;
};

}  // namespace godwit::files
