// Trees as values: order, checks, deltas, which chunks are missing.
#include "files/tree.h"

#include <algorithm>
#include <unordered_set>

#include "base/sys.h"
#include "files/beneath.h"

namespace godwit::files {

bool path_less(std::string_view a, std::string_view b) {
  const auto [x, y] = std::ranges::mismatch(a, b);
  if (x == a.end() || y == b.end()) return x == a.end() && y != b.end();
  if (*x == '/' || *y == '/') return *x == '/';
  return static_cast<unsigned char>(*x) < static_cast<unsigned char>(*y);
}

const Recipe* Tree::find(std::string_view path) const {
  const auto at = std::ranges::lower_bound(entries, path, path_less, &Recipe::path);
  return at != entries.end() && at->path == path ? &*at : nullptr;
}

uint64_t Tree::data_bytes() const {
  uint64_t total = 0;
  for (const Recipe& entry : entries) total += entry.content.data_bytes();
  return total;
}

namespace {

Result<void> check_hard_link(const Tree& tree, const Recipe& entry) {
  if (entry.hard_link_to.empty()) return {};
  const Recipe* first = tree.find(entry.hard_link_to);
  if (first == nullptr || !path_less(first->path, entry.path) || first->kind != Kind::kRegular ||
      !first->hard_link_to.empty())
    return fail(Code::kCorrupt, "'" + entry.path.substr(0, 200) + "' is a hard link to no earlier file");
  return {};
}

}  // namespace

Result<void> check_tree(const Tree& tree) {
  const auto bad = [](const Recipe& entry, const std::string& why) {
    return fail(Code::kCorrupt, "the tree's entry '" + entry.path.substr(0, 200) + "' " + why);
  };
  if (tree.entries.size() > kMaxEntries)
    return fail(Code::kCorrupt, "a tree of " + std::to_string(tree.entries.size()) + " entries");
  if (tree.entries.empty() || !tree.entries[0].path.empty() || tree.entries[0].kind != Kind::kDirectory)
    return fail(Code::kCorrupt, "a tree that does not start with its root directory");
  std::vector<std::string_view> inside;  // the directories that the entry before lies in, outermost first
  const Recipe* last = nullptr;
  for (const Recipe& entry : tree.entries) {
    TRY_DO(check_relative(entry.path));
    TRY_DO(check_recipe(entry));
    if (last != nullptr) {
      if (!path_less(last->path, entry.path)) return bad(entry, "is out of order or there twice");
      const std::string_view parent = parent_of(entry.path);
      while (!inside.empty() && inside.back() != parent) inside.pop_back();
      if (inside.empty()) return bad(entry, "lies in no directory of the tree");
      if (parent.empty() && entry.path == kStagingName) return bad(entry, "has a reserved name");
    }
    TRY_DO(check_hard_link(tree, entry));
    if (entry.kind == Kind::kDirectory) inside.push_back(entry.path);
    last = &entry;
  }
  return {};
}

TreeDelta make_delta(const Tree& from, const Tree& to) {
  TreeDelta delta;
  auto old = from.entries.begin();
  for (const Recipe& entry : to.entries) {
    for (; old != from.entries.end() && path_less(old->path, entry.path); ++old) delta.removed.push_back(old->path);
    const bool there = old != from.entries.end() && old->path == entry.path;
    if (!there || *old != entry) delta.changed.push_back(entry);
    if (there) ++old;
  }
  for (; old != from.entries.end(); ++old) delta.removed.push_back(old->path);
  return delta;
}

Result<Tree> patch(const Tree& from, const TreeDelta& delta) {
  if (!std::ranges::is_sorted(delta.removed, path_less) ||
      !std::ranges::is_sorted(delta.changed, path_less, &Recipe::path))
    return fail(Code::kCorrupt, "a tree's delta is out of order");
  Tree tree;
  tree.entries.reserve(from.entries.size() + delta.changed.size());
  auto gone = delta.removed.begin();
  auto next = delta.changed.begin();
  for (const Recipe& entry : from.entries) {
    for (; next != delta.changed.end() && path_less(next->path, entry.path); ++next) tree.entries.push_back(*next);
    if (gone != delta.removed.end() && *gone == entry.path) {
      ++gone;
    } else if (next != delta.changed.end() && next->path == entry.path) {
      tree.entries.push_back(*next++);
    } else {
      tree.entries.push_back(entry);
    }
  }
  tree.entries.insert(tree.entries.end(), next, delta.changed.end());
  if (gone != delta.removed.end())
    return fail(Code::kCorrupt, "a tree's delta removes '" + gone->substr(0, 200) + "', which isn't there");
  TRY_DO(check_tree(tree));
  return tree;
}

std::vector<ChunkWant> missing_chunks(const Tree& want, const Snapshot& present, const ChunkSource& store) {
  std::unordered_set<ChunkId, ChunkIdHash> seen;
  for (const auto& [path, hashed] : present.known)
    for (const Content::Piece& piece : hashed.content.pieces) seen.insert(piece.id);
  std::vector<ChunkWant> missing;
  for (const Recipe& entry : want.entries)
    for (const Content::Piece& piece : entry.content.pieces)
      if (seen.insert(piece.id).second && !store.has(piece.id))
        missing.push_back({piece.id, entry.content.piece_length(piece.index)});
  return missing;
}

Result<FileChunks> tree_chunks(const Fd& directory, const Snapshot& snapshot) {
  TRY(auto root, sys::dup(directory.get()));
  FileChunks chunks(std::move(root), FileChunks::Resolve::kBeneath);
  for (const auto& [path, hashed] : snapshot.known) chunks.add(path, hashed.content);
  return chunks;
}

}  // namespace godwit::files
