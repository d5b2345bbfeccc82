// describe(): the source's half of demands.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "base/sys.h"
#include "files/attributes.h"
#include "files/beneath.h"
#include "files/demand.h"
#include "files/libraries.h"
#include "files/refusals.h"

namespace godwit::files {
namespace {

std::string directory_of(const std::string& path) {
  const std::string dir(parent_of(path));
  return dir.empty() ? "/" : dir;
}

bool lies_in(const std::string& path, const std::string& dir) {
  return path == dir || (path.starts_with(dir) && (dir.ends_with('/') || path[dir.size()] == '/'));
}

class Describing {
 public:
  Describing(const Fd& root, const DescribeOptions& options) : root_(root), options_(options), libraries_(root) {}

  Result<Described> run(std::span<const Needed> needed) {
    for (const Needed& need : needed) {
      TRY_DO(check_absolute(need.path));
      if (std::ranges::any_of(options_.carried, [&](const auto& dir) { return lies_in(need.path, dir); })) continue;
      TRY_DO(add(need));
      if (demands_.size() > kMaxDemands) return fail(Code::kRefused, "more than a million files to describe");
    }
    for (const auto& [dir, targets] : linked_from_) add_links(dir, targets);
    hash();
    for (auto& [path, demand] : demands_) out_.demands.push_back(std::move(demand));
    return std::move(out_);
  }

 private:
  Result<void> add(const Needed& need) {
    if (need.use == Use::kSocket) return add_path({directory_of(need.path), Use::kDirectory, need.used_by});
    if (need.use == Use::kWith) return add_with(need);
    return add_path(need);
  }

  // One path, its links followed: what the kernel says of a mapping or descriptor has none.
  Result<void> add_path(const Needed& need) {
    auto object = open_in_root(root_, need.path, O_PATH);
    if (!object) {
      const bool gone = object.error().errnum == ENOENT || object.error().errnum == ENOTDIR;
      block(gone ? "file-vanished" : "file-unreadable", need, object.error().message());
      return {};
    }
    TRY(auto st, sys::stat(*object));
    auto recipe = recipe_from_stat(need.path, st);
    if (!recipe) {
      block("file-vanished", need, recipe.error().text);
      return {};
    }
    if (recipe->kind == Kind::kRegular && (need.use == Use::kMapped || need.use == Use::kExecutable))
      linked_from_[directory_of(need.path)].insert(std::string(name_of(need.path)));
    keep({*std::move(recipe), need.use, need.used_by, false});
    return {};
  }

  // A path that the user named: links themselves are carried, and so is what they lead to; a directory with all in it; a
  // program with its libraries.
  Result<void> add_with(const Needed& need) {
    struct Open {
      std::string path;
      bool named;  // by the user, or by a link that he named: not just found in a directory
    };
    std::vector<Open> open_paths = {{need.path, true}};
    std::set<std::string> seen;
    while (!open_paths.empty()) {
      const auto [path, named] = std::move(open_paths.back());
      open_paths.pop_back();
      if (demands_.size() > kMaxDemands) return {};
      if (!seen.insert(path).second) continue;
      const Needed one{path, Use::kWith, need.used_by};
      auto object = open_in_root(root_, path, O_PATH | O_NOFOLLOW);
      if (!object) {
        if (named) block("file-vanished", one, object.error().message());
        continue;
      }
      TRY(auto st, sys::stat(*object));
      auto recipe = recipe_from_stat(path, st);
      if (!recipe || recipe->kind == Kind::kWhiteout) continue;  // sockets and devices don't travel
      if (recipe->kind == Kind::kSymlink) {
        TRY(recipe->target, sys::read_link_at(*object, ""));
        // Only of the named path itself: what a tree's links lead to may be the whole disk.
        if (named)
          if (auto next = next_of_link(path, recipe->target)) open_paths.push_back({*std::move(next), true});
      }
      if (recipe->kind == Kind::kRegular)  // the user may mean it to be started where it was not before
        for (std::string& library : libraries_.of(path)) open_paths.push_back({std::move(library), true});
      const bool directory = recipe->kind == Kind::kDirectory;
      keep({*std::move(recipe), Use::kWith, need.used_by, false});
      if (!directory) continue;
      auto readable = open_in_root(root_, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      auto names = readable ? sys::list_dir_at(*readable, ".") : std::unexpected(readable.error());
      if (!names) {
        block("file-unreadable", one, names.error().message());
        continue;
      }
      for (const std::string& name : *names)
        open_paths.push_back({path == "/" ? "/" + name : path + "/" + name, false});
    }
    return {};
  }

  // Where one link leads to, as an absolute path below root without "..": the directory it lies in is resolved first.
  std::optional<std::string> next_of_link(const std::string& path, const std::string& target) const {
    std::string start;
    if (!target.starts_with('/')) {
      auto dir = open_in_root(root_, directory_of(path), O_PATH | O_DIRECTORY);
      auto base = real_path(root_);
      if (!dir || !base) return std::nullopt;
      auto real = real_path(*dir);
      if (!real || !lies_in(*real, *base)) return std::nullopt;
      start = *base == "/" ? *real : real->substr(base->size());
    }
    std::vector<std::string_view> parts;
    const std::string whole = start + "/" + target;
    for (size_t at = 0; at < whole.size();) {
      const size_t end = std::min(whole.find('/', at), whole.size());
      const std::string_view part = std::string_view(whole).substr(at, end - at);
      at = end + 1;
      if (part.empty() || part == ".") continue;
      if (part != "..")
        parts.push_back(part);
      else if (!parts.empty())
        parts.pop_back();
    }
    std::string result;
    for (const std::string_view part : parts) (result += '/') += part;
    return result.empty() ? "/" : result;
  }

  // Symbolic links in a directory that lead to needed files beside them: libz.so.1 → libz.so.1.2.13. A program that
  // starts another one later, or itself again, looks libraries up by such names.
  void add_links(const std::string& dir, const std::set<std::string>& targets) {
    auto fd = open_in_root(root_, dir, O_RDONLY | O_DIRECTORY);
    if (!fd) return;
    const int copy = fd->release();
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy), &::closedir);
    if (!stream) {
      ::close(copy);
      return;
    }
    while (const dirent* entry = ::readdir(stream.get())) {
      if (entry->d_type != DT_LNK) continue;
      char target[256];
      const ssize_t n = ::readlinkat(::dirfd(stream.get()), entry->d_name, target, sizeof target);
      if (n <= 0 || n == static_cast<ssize_t>(sizeof target)) continue;
      const std::string to(target, static_cast<size_t>(n));
      if (!targets.contains(to)) continue;
      Recipe link;
      link.path = (dir == "/" ? "" : dir) + "/" + entry->d_name;
      link.kind = Kind::kSymlink;
      link.mode = 0777;
      link.target = to;
      keep({std::move(link), Use::kMapped, "a name of " + to, true});
    }
  }

  // Each path once; a real use wins over an optional one.
  void keep(Demand demand) {
    auto [at, fresh] = demands_.try_emplace(demand.recipe.path, demand);
    if (fresh) return;
    if (at->second.optional && !demand.optional)
      at->second = std::move(demand);
    else if (demand.use == Use::kOpenWrite)
      at->second.use = Use::kOpenWrite;
  }

  void hash() {
    std::vector<HashJob> jobs;
    std::vector<Demand*> whose;
    for (auto& [path, demand] : demands_) {
      if (demand.recipe.kind != Kind::kRegular || demand.use == Use::kOpenWrite) continue;
      HashJob job;
      job.name = path;
      job.open = [this, name = path] { return open_in_root(root_, name, O_RDONLY | O_NONBLOCK); };
      jobs.push_back(std::move(job));
      whose.push_back(&demand);
    }
    hash_files(jobs, options_.cache, options_.progress);
    std::vector<std::string> unreadable;
    for (size_t i = 0; i < jobs.size(); ++i) {
      if (jobs[i].status) {
        whose[i]->recipe.content = std::move(jobs[i].result.content);
        continue;
      }
      block("file-unreadable", {jobs[i].name, whose[i]->use, whose[i]->used_by}, jobs[i].status.error().message());
      unreadable.push_back(jobs[i].name);
    }
    for (const std::string& path : unreadable) demands_.erase(path);
  }

  void block(std::string_view code, const Needed& need, const std::string& detail) {
    out_.blockers.push_back(make_blocker(code, need.path + (need.used_by.empty() ? "" : ", " + need.used_by), detail));
  }

  const Fd& root_;
  const DescribeOptions& options_;
  Libraries libraries_;
  std::map<std::string, Demand> demands_;
  std::map<std::string, std::set<std::string>> linked_from_;  // directory → names of needed files in it
  Described out_;
};

}  // namespace

Result<Described> describe(const Fd& root, std::span<const Needed> needed, const DescribeOptions& options) {
  return Describing(root, options).run(needed);
}

Result<FileChunks> demand_chunks(const Fd& root, std::span<const Demand> demands) {
  TRY(auto copy, sys::dup(root.get()));
  FileChunks chunks(std::move(copy), FileChunks::Resolve::kInRoot);
  for (const Demand& demand : demands) chunks.add(demand.recipe.path, demand.recipe.content);
  return chunks;
}

}  // namespace godwit::files
