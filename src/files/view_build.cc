// build_view(): the mounts of a view, and trying them.
//
// All is put together below a prefix: the stage directory if the root itself is layered or mirrored (then the stage
// becomes the root at the end), else nothing. To lay a layer over a mount: clone what is mounted on it, mount the overlay over it,
// attach the clones again. A clone is a new mount of the same thing, so the host's own are never moved.
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "base/sys.h"
#include "files/beneath.h"
#include "files/mounts.h"
#include "files/refusals.h"
#include "files/view.h"

namespace godwit::files {
namespace {

// In overlay's options ':' separates lower layers and ',' options; a backslash takes that from them.
std::string escaped(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (c == ':' || c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

Result<void> mount_overlay(const ViewPlan& plan, const ViewPlan::Layer& layer, const std::string& lower,
                           const std::string& target) {
  TRY_DO(sys::make_dirs(layer.directory + "/upper"));
  TRY_DO(sys::make_dirs(layer.directory + "/work", 0700));
  std::string options = "lowerdir=" + escaped(lower) + ",upperdir=" + escaped(layer.directory + "/upper") +
                        ",workdir=" + escaped(layer.directory + "/work");
  // Without it an overlay keeps its notes in trusted.* attributes, which only the initial user namespace may set.
  if (plan.user_namespace) options += ",userxattr";
  return sys::mount("overlay", target, "overlay", 0, options);
}

class Building {
 public:
  Building(const ViewPlan& plan, const MemoryMounts& memory) : plan_(plan), memory_(memory) {
    const auto is_root = [](const std::string& path) { return path == "/"; };
    if (std::ranges::any_of(plan.layers, is_root, &ViewPlan::Layer::mountpoint) ||
        std::ranges::any_of(plan.mirrors, is_root))
      prefix_ = plan.stage;
  }

  Result<void> run() {
    TRY_DO(sys::mount("none", "/", "", MS_REC | MS_PRIVATE));
    // Cloned before anything is mounted over what leads there; the outer ones first.
    std::vector<Clone> binds;
    for (const ViewPlan::Bind& bind : plan_.binds) {
      TRY(auto tree, bind.from.empty() ? in_memory(bind.to) : clone_mounts(bind.from));
      binds.push_back({bind.to, std::move(tree), bind.own});
    }
    std::ranges::sort(binds, {}, &Clone::path);
    for (const std::string& directory : plan_.mirrors) TRY_IN("mirroring " + directory, mirror(directory));
    for (const ViewPlan::Layer& layer : plan_.layers) {
      if (layer.fresh)
        TRY_IN("placing " + layer.mountpoint, place_fresh(layer));
      else
        TRY_IN("layer over " + layer.mountpoint, lay(layer));
    }
    for (const Clone& bind : binds) TRY_IN("binding " + bind.path, attach(bind));
    if (!prefix_.empty()) TRY_DO(enter());
    return {};
  }

 private:
  struct Clone {
    std::string path;
    Fd tree;
    bool own = false;
  };

  // Where to look for a host's path now, and where to mount over it: the same, but for the root itself.
  std::string before(const std::string& path) const { return path == "/" ? "/" : prefix_ + path; }
  std::string over(const std::string& path) const { return path == "/" ? prefix_ : prefix_ + path; }

  Result<void> mounted(const std::string& target) {
    TRY(const auto id, mount_id(target));
    own_.push_back(id);
    return {};
  }

  Result<void> lay(const ViewPlan::Layer& layer) {
    const std::string at = before(layer.mountpoint);
    const std::string target = over(layer.mountpoint);
    const std::string inside = at == "/" ? "/" : at + "/";
    TRY(const auto mounts, read_mounts());
    TRY(const auto id, mount_id(at));
    std::vector<Clone> clones;
    for (const std::string& path : visible_children(mounts, id)) {
      if (!path.starts_with(inside)) continue;
      TRY(auto tree, clone_mounts(path));
      clones.push_back({path, std::move(tree), false});
    }
    if (at == "/") TRY_DO(sys::make_dirs(target));
    TRY_DO(mount_overlay(plan_, layer, at, target));
    TRY_DO(mounted(target));
    for (const Clone& clone : clones) TRY_DO(attach_mounts(clone.tree, (at == "/" ? prefix_ : "") + clone.path));
    return {};
  }

  Result<Fd> in_memory(const std::string& path) const {
    const auto mount = memory_.find(path);
    if (mount == memory_.end()) return fail(Code::kUsage, "a view without its file system in memory for " + path);
    return sys::dup(mount->second.get());
  }

  bool is_fresh(const std::string& path) const {
    return std::ranges::any_of(plan_.layers,
                               [&](const auto& layer) { return layer.fresh && layer.mountpoint == path; });
  }

  // A tmpfs in the directory's place, with all that is in it attached in it.
  Result<void> mirror(const std::string& directory) {
    const std::string at = before(directory);
    const std::string target = over(directory);
    TRY(const auto names, sys::list_dir(at));
    TRY(const auto st, sys::stat(at));
    struct Entry {
      std::string name;
      struct stat st;
      std::string link;
      Fd tree;
    };
    std::vector<Entry> entries;
    for (const std::string& name : names) {
      if (is_fresh((directory == "/" ? "" : directory) + "/" + name)) continue;
      const std::string path = (at == "/" ? "" : at) + "/" + name;
      Entry entry;
      entry.name = name;
      TRY(entry.st, sys::lstat(path));
      if (S_ISLNK(entry.st.st_mode))
        TRY_DO(store(sys::read_link(path), entry.link));
      else
        TRY_DO(store(clone_mounts(path), entry.tree));
      entries.push_back(std::move(entry));
    }
    if (at == "/") TRY_DO(sys::make_dirs(target));
    char mode[32];
    std::snprintf(mode, sizeof mode, "mode=%o", st.st_mode & 07777u);
    TRY_DO(sys::mount("mirror", target, "tmpfs", MS_NOSUID | MS_NODEV, mode));
    TRY_DO(mounted(target));
    for (const Entry& entry : entries) {
      const std::string path = target + "/" + entry.name;
      if (S_ISLNK(entry.st.st_mode)) {
        if (::symlink(entry.link.c_str(), path.c_str()) < 0) return fail_errno(errno, "symlink " + path);
        continue;
      }
      TRY_DO(make_point(path, S_ISDIR(entry.st.st_mode)));
      TRY_DO(attach_mounts(entry.tree, path));
    }
    return {};
  }

  template <typename T>
  static Result<void> store(Result<T> from, T& to) {
    if (!from) return std::unexpected(std::move(from).error());
    to = *std::move(from);
    return {};
  }

  static Result<void> make_point(const std::string& path, bool directory) {
    if (directory) return sys::make_dirs(path);
    TRY(auto file, sys::open(path, O_WRONLY | O_CREAT | O_NOFOLLOW));
    return {};
  }

  // The unit's own object at a path in a mirrored directory.
  Result<void> place_fresh(const ViewPlan::Layer& layer) {
    const std::string from = layer.directory + "/upper/" + std::string(name_of(layer.mountpoint));
    const std::string target = over(layer.mountpoint);
    auto st = sys::lstat(from);
    if (!st && st.error().errnum == ENOENT) return {};  // only a mount point is wanted there: attach() makes it
    if (!st) return std::unexpected(std::move(st).error());
    if (S_ISLNK(st->st_mode)) {
      TRY(const auto link, sys::read_link(from));
      if (::symlink(link.c_str(), target.c_str()) < 0) return fail_errno(errno, "symlink " + target);
      return {};
    }
    TRY_DO(make_point(target, S_ISDIR(st->st_mode)));
    TRY_DO(sys::mount(from, target, "", MS_BIND));
    return mounted(target);
  }

  Result<void> attach(const Clone& bind) {
    const std::string target = prefix_ + bind.path;
    struct stat st{};
    if (::stat(target.c_str(), &st) < 0) TRY_DO(make_mount_point(target));
    TRY_DO(attach_mounts(bind.tree, target));
    return bind.own ? mounted(target) : Result<void>();
  }

  // Missing directories are made in what this view mounted and in the unit's own directories, never on the host's.
  Result<void> make_mount_point(const std::string& target) {
    for (size_t slash = target.find('/', 1);; slash = target.find('/', slash + 1)) {
      const std::string part = target.substr(0, slash);
      struct stat st{};
      if (::stat(part.c_str(), &st) < 0) {
        const std::string parent = part.substr(0, part.rfind('/'));
        TRY(const auto id, mount_id(parent.empty() ? "/" : parent));
        if (std::ranges::find(own_, id) == own_.end())
          return fail(Code::kRefused, target + " does not exist, and would have to be made on the host");
        if (::mkdir(part.c_str(), 0755) < 0) return fail_errno(errno, "mkdir " + part);
      }
      if (slash == std::string::npos) return {};
    }
  }

  // The stage becomes the root, and the old root goes: pivot_root(2), "pivot_root(".", ".")".
  Result<void> enter() {
    if (::chdir(prefix_.c_str()) < 0) return fail_errno(errno, "chdir to the new root");
    if (::syscall(SYS_pivot_root, ".", ".") < 0) return fail_errno(errno, "pivot_root");
    if (::umount2(".", MNT_DETACH) < 0) return fail_errno(errno, "umount of the old root");
    if (::chdir("/") < 0) return fail_errno(errno, "chdir to /");
    return {};
  }

  const ViewPlan& plan_;
  const MemoryMounts& memory_;
  std::string prefix_;
  std::vector<uint64_t> own_;  // ids of the mounts that were made here
};

bool is_overlay(const std::string& path) {
  struct statfs fs{};
  return ::statfs(path.c_str(), &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

// What to say when an overlay can't be mounted. The kernel gives EINVAL for nearly everything, so look at what it is.
engine::Blocker blocker_for(const ViewPlan::Layer& layer, const Error& error) {
  if (is_overlay(layer.directory + "/upper")) return make_blocker("view-layer", layer.directory, error.message());
  if (is_overlay(layer.mountpoint)) return make_blocker("view-stack", layer.mountpoint, error.message());
  return make_blocker("view-layer", layer.directory, error.message());
}

// An ordinary user's trial needs a user namespace of its own, in which he is root.
Result<void> enter_trial(const ViewPlan& plan, uid_t uid, gid_t gid) {
  if (::unshare(CLONE_NEWNS | (plan.user_namespace ? CLONE_NEWUSER : 0)) < 0) return fail_errno(errno, "unshare");
  if (plan.user_namespace) {
    TRY_DO(io::write_file("/proc/self/setgroups", "deny"));
    TRY_DO(io::write_file("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1"));
    TRY_DO(io::write_file("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1"));
  }
  return sys::mount("none", "/", "", MS_REC | MS_PRIVATE);
}

// Tries the layers in a child; gives the index of the first that fails, or -1, and the errno.
Result<std::pair<int, int>> try_layers(const ViewPlan& plan) {
  TRY(auto ends, sys::pipe());
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork");
  if (child == 0) {
    int report[2] = {-1, 0};
    const auto entered = enter_trial(plan, uid, gid);
    if (!entered) report[0] = static_cast<int>(plan.layers.size()), report[1] = entered.error().errnum;
    for (size_t i = 0; entered && report[0] < 0 && i < plan.layers.size(); ++i) {
      if (plan.layers[i].fresh) continue;
      const auto mounted = mount_overlay(plan, plan.layers[i], plan.layers[i].mountpoint, plan.stage);
      if (!mounted)
        report[0] = static_cast<int>(i), report[1] = mounted.error().errnum;
      else
        ::umount2(plan.stage.c_str(), MNT_DETACH);
    }
    (void)io::write_full(ends.second.get(), std::as_bytes(std::span(report)));
    ::_exit(0);
  }
  ends.second.reset();
  int report[2] = {};
  const auto read = io::read_full(ends.first.get(), std::as_writable_bytes(std::span(report)));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!read) return fail(Code::kFailed, "the trial of a view died");
  return std::pair{report[0], report[1]};
}

}  // namespace

Result<void> build_view(const ViewPlan& plan, const MemoryMounts& memory) { return Building(plan, memory).run(); }

Result<std::vector<engine::Blocker>> check_view(const ViewPlan& plan) {
  std::vector<engine::Blocker> blockers;
  if (plan.layers.empty()) return blockers;
  TRY_DO(sys::make_dirs(plan.stage));
  for (const ViewPlan::Layer& layer : plan.layers) {
    TRY_DO(sys::make_dirs(layer.directory + "/upper"));
    TRY_DO(sys::make_dirs(layer.directory + "/work", 0700));
  }
  TRY(const auto failed, try_layers(plan));
  if (failed.first == static_cast<int>(plan.layers.size()))
    return fail_errno(failed.second, "making a namespace to try the view in");
  if (failed.first >= 0) {
    const auto& layer = plan.layers[static_cast<size_t>(failed.first)];
    blockers.push_back(blocker_for(layer, {Code::kSystem, failed.second, "mount of an overlay"}));
  }
  return blockers;
}

}  // namespace godwit::files
