// Which layers a view needs, and putting carried files into them.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "base/raw_buffer.h"
#include "base/sys.h"
#include "files/attributes.h"
#include "files/beneath.h"
#include "files/content.h"
#include "files/mounts.h"
#include "files/refusals.h"
#include "files/view.h"

namespace godwit::files {
namespace {

constexpr const char* kNoLowerTypes[] = {"proc",    "sysfs",  "devtmpfs", "devpts",
                                         "cgroup2", "cgroup", "mqueue",   "securityfs"};

std::string slash_behind(const std::string& dir) { return dir == "/" ? dir : dir + "/"; }

// Where a path that may not exist lies on the host: links in the part that exists are followed.
struct Located {
  std::string real;  // absolute, free of links as far as it exists
  std::string mountpoint;
  std::string fs_type;
};

class Locator {
 public:
  static Result<Locator> open() {
    Locator locator;
    TRY(locator.root_, sys::open("/", O_PATH | O_DIRECTORY));
    TRY(const auto mounts, read_mounts());
    for (const Mount& mount : mounts) locator.mounts_[mount.id] = mount;
    return locator;
  }

  // The place for an object at `path`: its parent is resolved, the last component is not.
  Result<Located> locate(const std::string& path) const {
    std::string parent(parent_of(path));
    std::string rest(name_of(path));
    for (;;) {
      auto dir = open_in_root(root_, parent.empty() ? "/" : parent, O_PATH);
      if (dir) return found(*dir, path, rest);
      const int why = dir.error().errnum;
      if (why != ENOENT && why != ENOTDIR) return std::unexpected(std::move(dir).error());
      rest = std::string(name_of(parent)) + "/" + rest;
      parent = std::string(parent_of(parent));
    }
  }

  // Whether something is mounted below a directory.
  bool mounts_below(const std::string& dir) const {
    const std::string prefix = slash_behind(dir);
    return std::ranges::any_of(mounts_, [&](const auto& mount) {
      return mount.second.path.size() > prefix.size() && mount.second.path.starts_with(prefix);
    });
  }

 private:
  Result<Located> found(const Fd& dir, const std::string& path, const std::string& rest) const {
    TRY(auto st, sys::stat(dir));
    TRY(auto real, real_path(dir));
    if (!S_ISDIR(st.st_mode)) return fail(Code::kRefused, real + " is no directory on this host");
    TRY(const auto id, mount_id(dir));
    const auto mount = mounts_.find(id);
    if (mount == mounts_.end()) return fail(Code::kGone, "the mount that holds " + path + " went away");
    // A dangling link in the way: following it would lead to a place that isn't there.
    const std::string first = rest.substr(0, rest.find('/'));
    if (first.size() < rest.size())
      if (auto lst = sys::stat_at(dir, first, AT_SYMLINK_NOFOLLOW); lst)
        return fail(Code::kRefused, (real == "/" ? "" : real) + "/" + first + " is no directory on this host");
    return Located{(real == "/" ? "" : real) + "/" + rest, mount->second.path, mount->second.fs_type};
  }

  Fd root_;
  std::map<uint64_t, Mount> mounts_;
};

std::string relative_to(const std::string& path, const std::string& mountpoint) {
  return mountpoint == "/" ? path.substr(1) : path.substr(mountpoint.size() + 1);
}

class Planning {
 public:
  Planning(const ViewNeeds& needs, const Locator& locator, std::vector<engine::Blocker>& blockers)
      : needs_(needs), locator_(locator), blockers_(blockers) {}

  Result<ViewPlan> run(std::span<const Demand> demands, std::span<const Presence> presence) {
    for (size_t i = 0; i < demands.size(); ++i) {
      if (presence[i] == Presence::kSame || demands[i].use == Use::kOpenWrite) continue;
      if (demands[i].recipe.path == "/") continue;
      add_layer(demands[i].recipe.path, demands[i].used_by);
    }
    for (const ViewPlan::Bind& bind : needs_.binds) {
      TRY_DO(check_absolute(bind.to));
      if (!bind.from.empty()) TRY_DO(check_absolute(bind.from));
      struct stat st{};
      if (lies_in_own(bind.to)) continue;  // its mount point is made there
      if (::stat(bind.to.c_str(), &st) < 0 || !S_ISDIR(st.st_mode))
        add_layer(bind.to, bind.own ? "a directory of the unit's own" : "the work directory");
    }
    for (const std::string& path : needs_.layered) {
      TRY_DO(check_absolute(path));
      struct stat st{};
      if (::lstat(path.c_str(), &st) < 0)
        add_layer(path, "changed by the unit");
      else if (S_ISDIR(st.st_mode))
        insert(path, false);
    }
    ViewPlan plan;
    plan.stage = needs_.unit_directory + "/view";
    plan.binds = needs_.binds;
    plan.user_namespace = needs_.user_namespace;
    plan.mirrors.assign(mirrors_.begin(), mirrors_.end());
    for (const auto& [path, fresh] : layers_)
      plan.layers.push_back({path, needs_.unit_directory + "/layer/" + std::to_string(plan.layers.size()), fresh});
    return plan;
  }

 private:
  bool lies_in_own(const std::string& path) const {
    return std::ranges::any_of(needs_.binds,
                               [&](const auto& bind) { return bind.own && path.starts_with(slash_behind(bind.to)); });
  }

  void add_layer(const std::string& path, const std::string& used_by) {
    const std::string object = path + (used_by.empty() ? "" : ", " + used_by);
    const auto place = locator_.locate(path);
    if (!place) {
      blockers_.push_back(make_blocker("file-path", object, place.error().message()));
      return;
    }
    if (std::ranges::find(kNoLowerTypes, place->fs_type) != std::end(kNoLowerTypes)) {
      blockers_.push_back(make_blocker("file-path", object, place->mountpoint + " is of type " + place->fs_type));
      return;
    }
    if (needs_.user_namespace)
      add_narrow(*place);
    else
      insert(place->mountpoint, false);
  }

  // The outermost directory on the way that has no mounts below it; see view.h.
  void add_narrow(const Located& place) {
    std::string at = place.mountpoint;
    while (at != place.real && locator_.mounts_below(at)) {
      const size_t start = slash_behind(at).size();
      at = place.real.substr(0, place.real.find('/', start));
    }
    struct stat st{};
    const bool exists = at != place.real && ::lstat(at.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
    if (!exists) mirrors_.insert(at.rfind('/') == 0 ? "/" : at.substr(0, at.rfind('/')));
    insert(at, !exists);
  }

  void insert(const std::string& path, bool fresh) { layers_.emplace(path, fresh); }

  const ViewNeeds& needs_;
  const Locator& locator_;
  std::vector<engine::Blocker>& blockers_;
  std::map<std::string, bool> layers_;  // and whether it is fresh
  std::set<std::string> mirrors_;
};

class Placing {
 public:
  Placing(const ViewPlan& plan, const Locator& locator, const ChunkSource& chunks, bool keep_owner)
      : plan_(plan), locator_(locator), chunks_(chunks), keep_owner_(keep_owner), buffer_(kChunkSize) {}

  Result<void> place(const Recipe& recipe) {
    TRY(const auto where, locator_.locate(recipe.path));
    const ViewPlan::Layer* layer = nullptr;  // the innermost one that covers it
    for (const ViewPlan::Layer& one : plan_.layers)
      if (where.real == one.mountpoint || where.real.starts_with(slash_behind(one.mountpoint))) layer = &one;
    if (layer == nullptr) return fail(Code::kFailed, "the plan has no layer for " + where.real);
    const std::string base = layer->base();
    TRY_DO(sys::make_dirs(layer->directory + "/upper"));
    TRY(auto upper, sys::open(layer->directory + "/upper", O_RDONLY | O_DIRECTORY));
    const std::string relative = relative_to(where.real, base);
    TRY_DO(make_way(upper, base, relative));
    if (recipe.kind == Kind::kDirectory) return make_directory(upper, relative, recipe);
    return make_object(upper, relative, recipe);
  }

 private:
  // Directories on the way look as on the host, because in an overlay the upper one's metadata is what one sees.
  Result<void> make_way(const Fd& upper, const std::string& mountpoint, const std::string& relative) {
    TRY_DO(copy_directory(upper, mountpoint, ""));
    for (size_t slash = relative.find('/'); slash != std::string::npos; slash = relative.find('/', slash + 1))
      TRY_DO(copy_directory(upper, mountpoint, relative.substr(0, slash)));
    return {};
  }

  Result<void> copy_directory(const Fd& upper, const std::string& mountpoint, const std::string& relative) {
    const std::string on_host = (mountpoint == "/" ? "" : mountpoint) + "/" + relative;
    if (!made_.insert(on_host).second) return {};
    if (!relative.empty()) {
      std::string name;
      TRY(auto parent, open_parent_beneath(upper, relative, name));
      if (::mkdirat(parent.get(), name.c_str(), 0755) < 0) {
        if (errno == EEXIST) return {};
        return fail_errno(errno, "mkdir " + relative + " in a layer");
      }
    }
    struct stat st{};
    if (::lstat(on_host.c_str(), &st) < 0 || !S_ISDIR(st.st_mode)) return {};
    TRY(auto recipe, recipe_from_stat(relative, st));
    TRY(auto made, open_beneath(upper, relative, O_PATH | O_DIRECTORY));
    return set_metadata(made, recipe, {.keep_owner = false});
  }

  Result<void> make_directory(const Fd& upper, const std::string& relative, const Recipe& recipe) {
    std::string name;
    TRY(auto parent, open_parent_beneath(upper, relative, name));
    if (::mkdirat(parent.get(), name.c_str(), 0700) < 0 && errno != EEXIST)
      return fail_errno(errno, "mkdir in a layer");
    TRY(auto made, open_beneath(upper, relative, O_PATH | O_DIRECTORY));
    return set_metadata(made, recipe, {keep_owner_});
  }

  Result<void> make_object(const Fd& upper, const std::string& relative, const Recipe& recipe) {
    std::string name;
    TRY(auto parent, open_parent_beneath(upper, relative, name));
    const std::string temporary = ".godwit-place";
    ::unlinkat(parent.get(), temporary.c_str(), 0);
    if (recipe.kind == Kind::kRegular) {
      TRY(auto file, open_beneath(parent, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600));
      TRY_DO(write_content(file, recipe.content, {}, chunks_, buffer_.all()));
    } else if (recipe.kind == Kind::kSymlink) {
      if (::symlinkat(recipe.target.c_str(), parent.get(), temporary.c_str()) < 0)
        return fail_errno(errno, "symlink in a layer");
    } else if (::mkfifoat(parent.get(), temporary.c_str(), 0600) < 0) {
      return fail_errno(errno, "mkfifo in a layer");
    }
    TRY(auto object, open_beneath(parent, temporary, O_PATH | O_NOFOLLOW));
    TRY_DO(set_metadata(object, recipe, {keep_owner_}));
    if (::renameat(parent.get(), temporary.c_str(), parent.get(), name.c_str()) < 0)
      return fail_errno(errno, "rename in a layer");
    return {};
  }

  const ViewPlan& plan_;
  const Locator& locator_;
  const ChunkSource& chunks_;
  bool keep_owner_;
  RawBuffer buffer_;
  std::set<std::string> made_;
};

}  // namespace

std::string ViewPlan::Layer::base() const {
  if (!fresh) return mountpoint;
  const std::string parent(parent_of(mountpoint));
  return parent.empty() ? "/" : parent;
}

std::string ViewPlan::upper_of(const std::string& path) const {
  const Layer* layer = nullptr;  // the innermost one that covers it
  for (const Layer& one : layers)
    if (path == one.mountpoint || path.starts_with(slash_behind(one.mountpoint))) layer = &one;
  if (layer == nullptr) return {};
  const std::string base = layer->base();
  const std::string upper = layer->directory + "/upper";
  return path == base ? upper : upper + "/" + relative_to(path, base);
}

Result<ViewPlan> plan_view(const ViewNeeds& needs, std::span<const Demand> demands, std::span<const Presence> presence,
                           std::vector<engine::Blocker>& blockers) {
  TRY_DO(check_absolute(needs.unit_directory));
  if (demands.size() != presence.size()) return fail(Code::kUsage, "demands and presence differ in number");
  TRY(auto locator, Locator::open());
  return Planning(needs, locator, blockers).run(demands, presence);
}

Result<void> place_files(const ViewPlan& plan, std::span<const Demand> demands, std::span<const Presence> presence,
                         const ChunkSource& chunks, bool keep_owner, const Progress& progress) {
  if (demands.size() != presence.size()) return fail(Code::kUsage, "demands and presence differ in number");
  TRY(auto locator, Locator::open());
  Placing placing(plan, locator, chunks, keep_owner);
  const auto needed = [&](size_t i) {
    return presence[i] != Presence::kSame && demands[i].use != Use::kOpenWrite && demands[i].recipe.path != "/";
  };
  uint64_t total = 0;
  for (size_t i = 0; i < demands.size(); ++i)
    if (needed(i)) total += demands[i].recipe.content.size;
  uint64_t done = 0;
  for (size_t i = 0; i < demands.size(); ++i) {
    if (!needed(i)) continue;
    TRY_IN("placing " + demands[i].recipe.path, placing.place(demands[i].recipe));
    done += demands[i].recipe.content.size;
    if (progress) progress({"placing", done, total});
  }
  return {};
}

Result<void> remove_layers(const std::string& unit_directory) {
  TRY(auto dir, sys::open(unit_directory, O_RDONLY | O_DIRECTORY));
  TRY_DO(remove_beneath(dir, "layer"));
  return remove_beneath(dir, "view");
}

}  // namespace godwit::files
