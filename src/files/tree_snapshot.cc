// take(): one walk of the directory, then one pass over the files that must be read.
#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "base/sys.h"
#include "files/attributes.h"
#include "files/beneath.h"
#include "files/tree.h"

namespace godwit::files {
namespace {

struct Found {
  std::string path;
  struct stat st;
};

// stat, and whether another file system (or a bind mount) is mounted there.
Result<struct stat> stat_entry(const Fd& dir, const std::string& name, bool& mounted) {
  struct statx sx{};
  if (::statx(dir.get(), name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &sx) < 0)
    return fail_errno(errno, "stat of '" + name + "'");
  mounted = (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  struct stat st{};
  st.st_dev = makedev(sx.stx_dev_major, sx.stx_dev_minor);
  st.st_rdev = makedev(sx.stx_rdev_major, sx.stx_rdev_minor);
  st.st_ino = sx.stx_ino;
  st.st_mode = sx.stx_mode;
  st.st_nlink = sx.stx_nlink;
  st.st_uid = sx.stx_uid;
  st.st_gid = sx.stx_gid;
  st.st_size = static_cast<off_t>(sx.stx_size);
  st.st_mtim = {sx.stx_mtime.tv_sec, sx.stx_mtime.tv_nsec};
  st.st_ctim = {sx.stx_ctime.tv_sec, sx.stx_ctime.tv_nsec};
  return st;
}

// Or became something else: what was a file when it was listed may be a directory when it is read.
bool vanished(const Error& error) {
  return error.errnum == ENOENT || error.errnum == ENOTDIR || error.errnum == ELOOP || error.errnum == EISDIR;
}

class Taking {
 public:
  Taking(const Fd& root, const SnapshotOptions& options) : root_(root), options_(options) {
    if (options.previous == nullptr) return;
    for (const auto& [path, hashed] : options.previous->known)
      by_inode_.emplace(FileKey{hashed.stamp.device, hashed.stamp.inode}, &hashed);
  }

  Result<Snapshot> run() {
    TRY_DO(walk());
    std::ranges::sort(found_, path_less, &Found::path);
    for (const Found& found : found_) TRY_DO(add(found));
    TRY_DO(hash());
    std::erase_if(out_.tree.entries,
                  [&](const Recipe& e) { return gone_.contains(e.path) || gone_.contains(e.hard_link_to); });
    return std::move(out_);
  }

 private:
  Result<void> walk() {
    TRY(auto st, sys::stat(root_));
    if (!S_ISDIR(st.st_mode)) return fail(Code::kUsage, "a tree's root must be a directory");
    found_.push_back({"", st});
    if (!options_.only.empty()) return look(root_, "", options_.only);
    std::vector<std::string> open_dirs = {""};
    while (!open_dirs.empty()) {
      const std::string dir = std::move(open_dirs.back());
      open_dirs.pop_back();
      const size_t before = found_.size();
      TRY_DO(walk_one(dir));
      for (size_t i = before; i < found_.size(); ++i)
        if (S_ISDIR(found_[i].st.st_mode)) open_dirs.push_back(found_[i].path);
      if (found_.size() > kMaxEntries) return fail(Code::kRefused, "the directory has more than 4 million names");
    }
    return {};
  }

  Result<void> walk_one(const std::string& dir) {
    auto fd = open_beneath(root_, dir, O_RDONLY | O_DIRECTORY);
    if (!fd && !dir.empty() && vanished(fd.error())) return {};
    if (!fd) return std::unexpected(std::move(fd).error());
    TRY(auto names, sys::list_dir_at(*fd, "."));
    for (const std::string& name : names) {
      if (dir.empty() && name == kStagingName) continue;
      TRY_DO(look(*fd, dir, name));
    }
    return {};
  }

  Result<void> look(const Fd& fd, const std::string& dir, const std::string& name) {
    bool mounted = false;
    const std::string path = join(dir, name);
    auto st = stat_entry(fd, name, mounted);
    if (!st && vanished(st.error())) return {};
    if (!st) return std::unexpected(std::move(st).error().in(path));
    if (mounted) {
      out_.left_out.push_back(path + ": another file system is mounted there");
      return {};
    }
    found_.push_back({path, *st});
    return {};
  }

  Result<void> add(const Found& found) {
    auto entry = recipe_from_stat(found.path, found.st);
    if (entry && entry->kind == Kind::kWhiteout && !options_.layer)
      entry = fail(Code::kRefused, found.path + " is a device");
    if (!entry) {
      out_.left_out.push_back(found.path + entry.error().text.substr(found.path.size()).insert(0, ":"));
      return {};
    }
    if (entry->kind == Kind::kRegular && found.st.st_nlink > 1) {
      const FileKey key{found.st.st_dev, found.st.st_ino};
      const auto [at, first] = links_.try_emplace(key, found.path);
      if (!first) entry->hard_link_to = at->second;
    }
    Hashed seen;
    seen.stamp = Stamp::of(found.st);
    seen.settled = seen.stamp.ctime_ns + kSettleNs < clock_now(CLOCK_REALTIME).count();
    const Hashed* old = previous(found);
    const bool same = old != nullptr && old->settled && old->stamp == seen.stamp;
    if (entry->kind == Kind::kSymlink) {
      TRY_DO(read_target(found, *entry));
    }
    if (entry->hard_link_to.empty()) TRY_DO(add_attributes(found, same, *entry));
    if (entry->kind == Kind::kRegular && entry->hard_link_to.empty()) {
      const FileKey key{found.st.st_dev, found.st.st_ino};
      if (same && !options_.always_read.contains(key)) {
        entry->content = old->content;
        seen = *old;
      } else {
        to_read_.push_back({out_.tree.entries.size(), old, options_.always_read.contains(key)});
      }
    }
    out_.known.emplace(found.path, std::move(seen));
    out_.tree.entries.push_back(*std::move(entry));
    return {};
  }

  Result<void> read_target(const Found& found, Recipe& entry) {
    std::string name;
    TRY(auto parent, open_parent_beneath(root_, found.path, name));
    auto target = sys::read_link_at(parent, name);
    if (!target && (vanished(target.error()) || target.error().errnum == EINVAL)) {
      gone_.insert(found.path);
      entry.target = "gone";
      return {};
    }
    if (!target) return std::unexpected(std::move(target).error().in(found.path));
    entry.target = *std::move(target);
    return {};
  }

  // Attributes change the ctime, so those of an unchanged object are known.
  Result<void> add_attributes(const Found& found, bool same, Recipe& entry) {
    if (entry.kind == Kind::kSymlink || entry.kind == Kind::kWhiteout) return {};
    const Recipe* old = same ? options_.previous->tree.find(found.path) : nullptr;
    if (old != nullptr && old->kind == entry.kind) {
      entry.attributes = old->attributes;
      return {};
    }
    auto fd = open_beneath(root_, found.path, O_PATH | O_NOFOLLOW);
    if (!fd && vanished(fd.error())) {
      gone_.insert(found.path);
      return {};
    }
    if (!fd) return std::unexpected(std::move(fd).error());
    auto attributes = read_attributes(*fd);
    if (!attributes) return std::unexpected(std::move(attributes).error().in(found.path));
    for (Attribute& a : *attributes)
      if (options_.layer || !a.name.ends_with(".overlay.opaque")) entry.attributes.push_back(std::move(a));
    return {};
  }

  Result<void> hash() {
    std::vector<HashJob> jobs(to_read_.size());
    for (size_t i = 0; i < jobs.size(); ++i) {
      const std::string& path = out_.tree.entries[to_read_[i].entry].path;
      jobs[i].name = path;
      jobs[i].open = [this, &path] { return open_beneath(root_, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK); };
      jobs[i].previous = to_read_[i].old;
      jobs[i].with_fingerprints = true;
    }
    hash_files(jobs, nullptr, options_.progress);
    for (size_t i = 0; i < jobs.size(); ++i) {
      HashJob& job = jobs[i];
      Recipe& entry = out_.tree.entries[to_read_[i].entry];
      if (!job.status) {
        // A file of a running unit may go, or be replaced, between the walk and the reading.
        if (!vanished(job.status.error()) && job.status.error().code != Code::kRefused)
          return std::unexpected(std::move(job.status).error().in("reading '" + entry.path + "'"));
        gone_.insert(entry.path);
        out_.known.erase(entry.path);
        continue;
      }
      if (!job.stable) out_.unstable.push_back(entry.path);
      entry.content = job.result.content;
      entry.mtime_ns = job.result.stamp.mtime_ns;
      if (to_read_[i].mapped) job.result.settled = false;
      out_.known[entry.path] = std::move(job.result);
      ++out_.files_read;
    }
    return {};
  }

  // What was known of this file: under its path or, when it was renamed, under its inode. Only a hint: the stamp, or
  // the fingerprints, decide whether it still holds.
  const Hashed* previous(const Found& found) const {
    if (options_.previous == nullptr) return nullptr;
    const auto moved = by_inode_.find({found.st.st_dev, found.st.st_ino});
    const auto at = options_.previous->known.find(found.path);
    if (at == options_.previous->known.end()) return moved == by_inode_.end() ? nullptr : moved->second;
    return at->second.stamp.inode != found.st.st_ino && moved != by_inode_.end() ? moved->second : &at->second;
  }

  static constexpr int64_t kSettleNs = 100'000'000;  // as in hash.cc

  struct ToRead {
    size_t entry;
    const Hashed* old;
    bool mapped;
  };
  const Fd& root_;
  const SnapshotOptions& options_;
  Snapshot out_;
  std::map<FileKey, const Hashed*> by_inode_;
  std::vector<Found> found_;
  std::map<FileKey, std::string> links_;
  std::vector<ToRead> to_read_;
  std::set<std::string> gone_;
};

}  // namespace

Result<Snapshot> take(const Fd& directory, const SnapshotOptions& options) { return Taking(directory, options).run(); }

}  // namespace godwit::files
