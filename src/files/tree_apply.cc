// apply(): makes a directory equal to a tree.
//
// Stages, so that what can fail (a full disk, a chunk that isn't there) fails before anything is changed:
//   1. look      the directory is looked at again (unless it is private: then `present` is believed);
//   2. decide    each entry: keep as it is, patch where it lies (private, large), or make anew;
//   3. stage     what is made anew is written to `.godwit-apply/N` in the directory, complete with metadata;
//   4. remove    names that aren't wanted, and those whose kind changes from or to a directory, innermost first;
//   5. place     directories are made, staged objects renamed into place, hard links linked, large files patched;
//   6. finish    directories get their metadata, innermost first (the renames changed their times), staging goes.
//
// A file that is part of a hard-link group is kept only if the whole group is as wanted, because what is done to one
// name is done to all.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/clock.h"
#include "base/raw_buffer.h"
#include "base/sys.h"
#include "files/attributes.h"
#include "files/beneath.h"
#include "files/content.h"
#include "files/tree.h"

namespace godwit::files {
namespace {

constexpr uint64_t kPatchFrom = 4u << 20;  // smaller files are as quickly written anew

enum class Action : uint8_t { kKeep, kMetadata, kPatch, kMake, kLink };

// The names of each hard-link group, by the path of its first name.
std::map<std::string_view, std::vector<std::string_view>> link_groups(const Tree& tree) {
  std::map<std::string_view, std::vector<std::string_view>> groups;
  for (const Recipe& entry : tree.entries)
    if (!entry.hard_link_to.empty()) groups[entry.hard_link_to].push_back(entry.path);
  return groups;
}

class Applying {
 public:
  Applying(const Fd& root, const Tree& want, const Snapshot& present, const ChunkSource& store,
           const ApplyOptions& options)
      : root_(root), want_(want), present_(&present), store_(store), options_(options), buffer_(kChunkSize) {}

  Result<Snapshot> run() {
    TRY_DO(check());
    TRY_DO(look());
    TRY(auto own, tree_chunks(root_, *present_));
    const AnySource both({&store_, &own});
    decide();
    TRY_DO(open_staging());
    TRY_IN("writing files aside", stage(both));
    TRY_DO(remove_extra());
    TRY_DO(place());
    TRY_DO(finish());
    return std::move(out_);
  }

 private:
  Result<void> check() {
    TRY_DO(check_tree(want_));
    for (const Recipe& entry : want_.entries) {
      if (!options_.only.empty() && !entry.path.empty() && entry.path != options_.only)
        return fail(Code::kCorrupt,
                    "the tree of the one file '" + options_.only + "' also has '" + entry.path.substr(0, 200) + "'");
      if (options_.layer) continue;
      if (entry.kind == Kind::kWhiteout)
        return fail(Code::kCorrupt, "'" + entry.path + "' is a whiteout outside of a layer");
      for (const Attribute& a : entry.attributes)
        if (a.name.ends_with(".overlay.opaque"))
          return fail(Code::kCorrupt, "'" + entry.path + "' has an overlay's mark outside of a layer");
    }
    return {};
  }

  Result<void> look() {
    if (options_.private_directory) return {};
    SnapshotOptions again;
    again.previous = present_;
    again.layer = options_.layer;
    again.only = options_.only;
    TRY(looked_, take(root_, again));
    present_ = &looked_;
    return {};
  }

  void decide() {
    const auto wanted_groups = link_groups(want_);
    const auto present_groups = link_groups(present_->tree);
    actions_.reserve(want_.entries.size());
    for (const Recipe& entry : want_.entries) {
      const Recipe* old = present_->tree.find(entry.path);
      actions_.push_back(decide_one(entry, old, wanted_groups, present_groups));
    }
  }

  template <typename Groups>
  Action decide_one(const Recipe& entry, const Recipe* old, const Groups& wanted, const Groups& present) const {
    if (!entry.hard_link_to.empty()) {
      const bool same = old != nullptr && old->hard_link_to == entry.hard_link_to && kept(entry.hard_link_to);
      return same ? Action::kKeep : Action::kLink;
    }
    if (old == nullptr || old->kind != entry.kind || !old->hard_link_to.empty()) return Action::kMake;
    if (*old == entry && entry.kind != Kind::kRegular) return Action::kKeep;
    if (entry.kind == Kind::kDirectory) return Action::kMetadata;
    if (entry.kind == Kind::kSymlink || entry.kind == Kind::kWhiteout)
      return old->target == entry.target ? Action::kMetadata : Action::kMake;
    const auto want_group = wanted.find(entry.path);
    const auto have_group = present.find(entry.path);
    const bool grouped = want_group != wanted.end() || have_group != present.end();
    if (grouped &&
        (want_group == wanted.end() || have_group == present.end() || want_group->second != have_group->second))
      return Action::kMake;
    if (old->content == entry.content) return *old == entry ? Action::kKeep : Action::kMetadata;
    if (options_.private_directory && !grouped && entry.content.size >= kPatchFrom && can_patch(*old, entry))
      return Action::kPatch;
    return Action::kMake;
  }

  // Whether the object at an earlier path stays the inode it is.
  bool kept(std::string_view path) const {
    const auto at = std::ranges::lower_bound(want_.entries, path, path_less, &Recipe::path);
    const Action action = actions_[static_cast<size_t>(at - want_.entries.begin())];
    return action == Action::kKeep || action == Action::kMetadata;
  }

  // Patching must not lean on chunks of other files here, which may be patched before it.
  bool can_patch(const Recipe& old, const Recipe& entry) const {
    std::vector<Content::Piece> fresh;
    std::ranges::set_difference(
        entry.content.pieces, old.content.pieces, std::back_inserter(fresh),
        [](const auto& a, const auto& b) { return std::tie(a.index, a.id) < std::tie(b.index, b.id); });
    const uint64_t tail = entry.content.pieces.empty() ? 0 : entry.content.pieces.back().index;
    const bool tail_grows = old.content.piece_length(tail) != entry.content.piece_length(tail);
    if (tail_grows && !entry.content.pieces.empty()) fresh.push_back(entry.content.pieces.back());
    return std::ranges::all_of(fresh, [&](const auto& piece) { return store_.has(piece.id); });
  }

  Result<void> open_staging() {
    TRY_DO(remove_beneath(root_, std::string(kStagingName)));
    if (std::ranges::all_of(
            actions_, [](Action a) { return a == Action::kKeep || a == Action::kMetadata || a == Action::kPatch; }))
      return {};
    if (::mkdirat(root_.get(), std::string(kStagingName).c_str(), 0700) < 0)
      return fail_errno(errno, "making " + std::string(kStagingName));
    TRY(staging_, open_beneath(root_, kStagingName, O_RDONLY | O_DIRECTORY));
    return {};
  }

  Result<void> stage(const ChunkSource& chunks) {
    for (size_t i = 0; i < actions_.size(); ++i) {
      const Recipe& entry = want_.entries[i];
      if (actions_[i] != Action::kMake || entry.kind == Kind::kDirectory) continue;
      TRY_IN("'" + entry.path + "'", stage_one(entry, std::to_string(i), chunks));
    }
    return {};
  }

  Result<void> stage_one(const Recipe& entry, const std::string& name, const ChunkSource& chunks) {
    const int dir = staging_.get();
    int made = 0;
    switch (entry.kind) {
      case Kind::kRegular: TRY_DO(stage_file(entry, name, chunks)); break;
      case Kind::kSymlink: made = ::symlinkat(entry.target.c_str(), dir, name.c_str()); break;
      case Kind::kFifo: made = ::mkfifoat(dir, name.c_str(), 0600); break;
      case Kind::kWhiteout: made = ::mknodat(dir, name.c_str(), S_IFCHR, makedev(0, 0)); break;
      case Kind::kDirectory: break;
    }
    if (made < 0) return fail_errno(errno, "making a " + std::string(kind_name(entry.kind)));
    TRY(auto object, open_beneath(staging_, name, O_PATH | O_NOFOLLOW));
    return set_metadata(object, entry, {options_.keep_owner});
  }

  Result<void> stage_file(const Recipe& entry, const std::string& name, const ChunkSource& chunks) {
    TRY(auto file, open_beneath(staging_, name, O_WRONLY | O_CREAT | O_EXCL, 0600));
    const Recipe* old = present_->tree.find(entry.path);
    Fd old_file;
    OldFile reuse;
    if (old != nullptr && old->kind == Kind::kRegular && old->hard_link_to.empty()) {
      if (auto opened = open_beneath(root_, entry.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)) {
        old_file = *std::move(opened);
        reuse = {&old_file, &old->content};
      }
    }
    TRY_DO(write_content(file, entry.content, reuse, chunks, buffer_.all()));
    done_ += entry.content.size;
    if (options_.progress) options_.progress({"placing", done_, std::max(done_, want_.data_bytes())});
    return {};
  }

  Result<void> remove_extra() {
    const auto& old = present_->tree.entries;
    for (auto entry = old.rbegin(); entry != old.rend(); ++entry) {
      if (entry->path.empty()) continue;
      const Recipe* wanted = want_.find(entry->path);
      const bool turns = wanted != nullptr && (wanted->kind == Kind::kDirectory) != (entry->kind == Kind::kDirectory);
      if (wanted != nullptr && !turns) continue;
      TRY_IN("removing '" + entry->path + "'", remove_one(*entry));
    }
    return {};
  }

  Result<void> remove_one(const Recipe& entry) {
    std::string name;
    TRY(auto parent, open_writable_parent(entry.path, name));
    const int flags = entry.kind == Kind::kDirectory ? AT_REMOVEDIR : 0;
    if (::unlinkat(parent.get(), name.c_str(), flags) == 0 || errno == ENOENT) return {};
    if (errno == ENOTEMPTY || errno == EEXIST) return remove_beneath(parent, name);  // sockets, devices
    return fail_errno(errno, "unlink");
  }

  // The directory that holds `path`; an owner who isn't root may have forbidden himself to write to it.
  Result<Fd> open_writable_parent(std::string_view path, std::string& name) {
    TRY(auto parent, open_parent_beneath(root_, path, name));
    const std::string dir(parent_of(path));
    if (touched_.insert(dir).second && ::geteuid() != 0) {
      TRY(auto st, sys::stat(parent));
      if ((st.st_mode & 0700u) != 0700u) TRY_IN(dir, change_mode(parent, (st.st_mode & 07777u) | 0700u));
    }
    return parent;
  }

  Result<void> place() {
    for (size_t i = 0; i < actions_.size(); ++i) {
      const Recipe& entry = want_.entries[i];
      if (actions_[i] == Action::kKeep || entry.path.empty()) continue;
      TRY_IN("placing '" + entry.path + "'", place_one(entry, actions_[i], std::to_string(i)));
    }
    return {};
  }

  Result<void> place_one(const Recipe& entry, Action action, const std::string& staged) {
    if (action == Action::kMetadata) {
      if (entry.kind == Kind::kDirectory) return {};
      TRY(auto object, open_beneath(root_, entry.path, O_PATH | O_NOFOLLOW));
      return set_metadata(object, entry, {options_.keep_owner});
    }
    if (action == Action::kPatch) return patch_one(entry);
    std::string name;
    TRY(auto parent, open_writable_parent(entry.path, name));
    if (action == Action::kMake && entry.kind == Kind::kDirectory) {
      if (::mkdirat(parent.get(), name.c_str(), 0700) < 0 && errno != EEXIST) return fail_errno(errno, "mkdir");
      return {};
    }
    if (action == Action::kLink) {
      std::string first_name;
      TRY(auto first_parent, open_parent_beneath(root_, entry.hard_link_to, first_name));
      if (::linkat(first_parent.get(), first_name.c_str(), staging_.get(), staged.c_str(), 0) < 0)
        return fail_errno(errno, "link");
    }
    if (::renameat(staging_.get(), staged.c_str(), parent.get(), name.c_str()) < 0) return fail_errno(errno, "rename");
    return {};
  }

  Result<void> patch_one(const Recipe& entry) {
    const Recipe* old = present_->tree.find(entry.path);
    TRY(auto writable, open_beneath(root_, entry.path, O_PATH | O_NOFOLLOW));
    if ((old->mode & 0200u) == 0 && ::geteuid() != 0) TRY_DO(change_mode(writable, 0600));
    TRY(auto file, open_beneath(root_, entry.path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK));
    TRY_DO(patch_content(file, old->content, entry.content, store_, buffer_.all()));
    return set_metadata(file, entry, {options_.keep_owner});
  }

  Result<void> finish() {
    staging_.reset();
    TRY_DO(remove_beneath(root_, std::string(kStagingName)));
    for (size_t i = want_.entries.size(); i-- > 0;) {
      const Recipe& entry = want_.entries[i];
      if (entry.kind != Kind::kDirectory || (entry.path.empty() && !options_.only.empty())) continue;
      if (actions_[i] == Action::kKeep && !touched_.contains(entry.path) && !entry.path.empty()) continue;
      TRY(auto object, open_beneath(root_, entry.path, O_PATH | O_DIRECTORY));
      TRY_DO(set_metadata(object, entry, {options_.keep_owner}));
    }
    return describe();
  }

  // The new snapshot: what was kept is known, of what was made the stamps are taken now.
  Result<void> describe() {
    out_.tree = want_;
    out_.left_out = present_->left_out;
    for (size_t i = 0; i < want_.entries.size(); ++i) {
      const Recipe& entry = want_.entries[i];
      const auto old = present_->known.find(entry.path);
      if (actions_[i] == Action::kKeep && entry.kind != Kind::kDirectory && old != present_->known.end()) {
        out_.known.emplace(entry.path, old->second);
        continue;
      }
      TRY(auto st, stat_beneath(root_, entry.path));
      Hashed hashed;
      hashed.content = entry.content;
      hashed.stamp = Stamp::of(st);
      out_.known.emplace(entry.path, std::move(hashed));
    }
    return {};
  }

  const Fd& root_;
  const Tree& want_;
  const Snapshot* present_;
  Snapshot looked_;
  const ChunkSource& store_;
  const ApplyOptions& options_;
  RawBuffer buffer_;
  std::vector<Action> actions_;
  std::set<std::string> touched_;  // directories whose content was changed
  Fd staging_;
  uint64_t done_ = 0;
  Snapshot out_;
};

}  // namespace

Result<Snapshot> apply(const Fd& directory, const Tree& want, const Snapshot& present, const ChunkSource& chunks,
                       const ApplyOptions& options) {
  return Applying(directory, want, present, chunks, options).run();
}

}  // namespace godwit::files
