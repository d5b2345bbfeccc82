// Tree: a directory that travels: the unit's own work directory, its output file, a layer of its view.
//
// The source takes snapshots: the first while the unit runs (all content is hashed and sent ahead), the last while it
// is frozen. That one costs a walk with one stat a file, plus reading the files whose stamp changed or can't be
// believed (hash.h says when), and sends only the chunks that are new. The destination applies what arrived to its own
// directory as often as it likes, so that at the end, too, only the difference is left to do.
//
//     auto first = take(dir, {});                                  // source, running
//     auto list  = missing_chunks(first->tree, *present, store);   // destination: asks for these
//     ... chunks travel into the store ...
//     auto there = apply(dir, first->tree, *present, store, {});   // destination
//     auto last  = take(dir, {.previous = &*first});               // source, frozen
//     auto delta = make_delta(first->tree, last->tree);            // small
//     auto want  = patch(first->tree, delta);                      // destination: == last->tree
//     apply(dir, *want, *there, store, {});
//
// What travels: directories, regular files (holes kept, hard links kept), symbolic links, FIFOs, modes, owners, mtimes,
// extended attributes. What doesn't is named in Snapshot::left_out: sockets, devices, other file systems mounted
// inside. (A socket's name is made again by the engine when its owner binds it.)
//
// Exactness: take() of a running unit's directory is a set of files each of which was whole at its own moment, or is
// marked unstable after three tries. Only the frozen one must be, and is, exact.
// Safety: a tree from a peer passes check_tree() first; every path is then opened beneath the directory without
// following a link (beneath.h), so neither the tree nor what already lies in the directory can lead us out of it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "files/chunk.h"
#include "files/content.h"
#include "files/hash.h"
#include "files/recipe.h"

namespace godwit::files {

/// Entries by path in the order of their components, so a directory comes before what is in it. The first is the root,
/// "".
struct Tree {
  std::vector<Recipe> entries;
  bool operator==(const Tree&) const = default;
  [[nodiscard]] const Recipe* find(std::string_view path) const;
  [[nodiscard]] uint64_t data_bytes() const;
};

/// The order of entries: by components, that is '/' sorts before every other byte.
bool path_less(std::string_view a, std::string_view b);

/// 4 million names: some GB of recipes, more than any work directory we met.
inline constexpr size_t kMaxEntries = 4u << 20;

/// Whether a tree can be made: order, no duplicates, parents are directories, hard links lead to earlier files, each
/// recipe possible. Everything from a peer or an image goes through this first. Else Code::kCorrupt.
Result<void> check_tree(const Tree& tree);

/// A tree as it was found or made in a directory, with what is needed to look again cheaply. Stays in this process.
struct Snapshot {
  Tree tree;
  std::unordered_map<std::string, Hashed> known;  ///< by path; every kind has its stamp, regular files their content
  std::vector<std::string> left_out;  ///< "path: why"
  std::vector<std::string> unstable;  ///< files that changed each time they were read
  uint64_t files_read = 0;  ///< how many had to be opened and read
};

struct SnapshotOptions {
  const Snapshot* previous = nullptr;
  /// Files that are mapped shared and writable: their times don't tell (hash.h), now and at the next look.
  std::set<FileKey> always_read;
  bool layer = false;  ///< an overlay's upper layer: whiteouts are entries, not devices that are left out
  std::string only;  ///< if not empty: look at this one name in the directory, and at nothing else
  Progress progress;
};
/// What is in the directory now. A directory that isn't readable, or a file, is an error that names it.
Result<Snapshot> take(const Fd& directory, const SnapshotOptions& options);

/// How one tree becomes another: small, so that rounds cost little. A value for the wire.
struct TreeDelta {
  std::vector<std::string> removed;  ///< sorted
  std::vector<Recipe> changed;  ///< new, or different in anything; sorted
  bool operator==(const TreeDelta&) const = default;
};
TreeDelta make_delta(const Tree& from, const Tree& to);
/// The tree after the delta; checked as check_tree does.
Result<Tree> patch(const Tree& from, const TreeDelta& delta);

/// Chunks that neither the directory nor the store has: what to ask the other side for, each once.
std::vector<ChunkWant> missing_chunks(const Tree& want, const Snapshot& present, const ChunkSource& store);

struct ApplyOptions {
  /// Nobody else uses this directory (a destination before its commit): `present` is believed without looking again,
  /// and large files are changed where they lie instead of replaced whole.
  bool private_directory = false;
  bool keep_owner = true;  ///< failing to give a file to its owner is an error; else it stays the caller's
  bool layer = false;  ///< whiteouts may be made
  std::string only;  ///< as in SnapshotOptions: other names, and the directory's own metadata, are left alone
  Progress progress;
};
/// Makes the directory equal to `want`, and returns its new snapshot. `present` is what take() or apply() last said of
/// it. Names that aren't wanted are removed; sockets, devices and mounts stay. All new content is first written aside,
/// into
/// `.godwit-apply` in the directory: until that is complete (a full disk, a missing chunk) nothing else is touched.
/// Then each object appears by one rename. An error in that last part leaves old and new objects, none torn: call
/// again.
Result<Snapshot> apply(const Fd& directory, const Tree& want, const Snapshot& present, const ChunkSource& chunks,
                       const ApplyOptions& options);
/// The name in a tree's root that apply() works in; no tree may have it.
inline constexpr std::string_view kStagingName = ".godwit-apply";

/// Gives chunks from where they lie in a snapshot's files. Keeps the directory open, and nothing of the snapshot.
Result<FileChunks> tree_chunks(const Fd& directory, const Snapshot& snapshot);

}  // namespace godwit::files
