#include "files/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/sys.h"

namespace godwit::files {
namespace {

Result<Fd> open2(int dir, const std::string& path, int flags, mode_t mode, uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = resolve;
  for (int tries = 0;;) {
    const long fd = ::syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how);
    if (fd >= 0) return Fd(static_cast<int>(fd));
    if (errno == EINTR) continue;
    // EAGAIN: a rename raced with the walk, so the kernel couldn't prove that we stayed beneath (openat2(2)).
    if (errno == EAGAIN && ++tries < 64) continue;
    return fail_errno(errno, "open " + path);
  }
}

// The directory /proc of this process's own PID namespace. `self` in it is looked up anew each time, so a child has its own.
const Fd& proc_root() {
  static const Fd root = [] {
    auto opened = sys::open("/proc", O_PATH | O_DIRECTORY);
    return opened ? *std::move(opened) : Fd();
  }();
  return root;
}

std::string name_in_proc(const Fd& fd) { return "self/fd/" + std::to_string(fd.get()); }

constexpr uint64_t kBeneath = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
constexpr size_t kStage = 3800;  // below PATH_MAX, which counts the closing NUL

Result<void> check_components(std::string_view path, std::string_view whole) {
  const auto bad = [&](std::string_view why) {
    return fail(Code::kCorrupt, "the path '" + std::string(whole.substr(0, 200)) + "' " + std::string(why));
  };
  if (path.size() > kMaxPath) return bad("is longer than 65536 bytes");
  if (path.find('\0') != std::string_view::npos) return bad("contains a NUL byte");
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view name = path.substr(start, end - start);
    if (name.empty()) return bad("has an empty component");
    if (name == "." || name == "..") return bad("has a '.' or '..' component");
    if (name.size() > kMaxName) return bad("has a component of more than 255 bytes");
    start = end + 1;
  }
  return {};
}

}  // namespace

Result<void> check_relative(std::string_view path) {
  if (path.empty()) return {};
  return check_components(path, path);
}

Result<void> check_absolute(std::string_view path) {
  if (path == "/") return {};
  if (!path.starts_with('/'))
    return fail(Code::kCorrupt, "the path '" + std::string(path.substr(0, 200)) + "' is not absolute");
  return check_components(path.substr(1), path);
}

std::string_view parent_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

std::string_view name_of(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string join(std::string_view parent, std::string_view name) {
  if (parent.empty()) return std::string(name);
  std::string path(parent);
  path += '/';
  path += name;
  return path;
}

void hold_proc() { (void)proc_root(); }

Result<Fd> reopen(const Fd& object, int flags) { return sys::open_at(proc_root(), name_in_proc(object), flags); }

Result<std::string> real_path(const Fd& object) { return sys::read_link_at(proc_root(), name_in_proc(object)); }

Result<void> change_mode(const Fd& object, mode_t mode) {
  if (::fchmodat(proc_root().get(), name_in_proc(object).c_str(), mode, 0) < 0) return fail_errno(errno, "chmod");
  return {};
}

Result<void> remove_beneath(const Fd& dir, const std::string& name) {
  if (::unlinkat(dir.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return fail_errno(errno, "removing " + name);
  auto sub = open_beneath(dir, name, O_PATH | O_NOFOLLOW | O_DIRECTORY);
  if (!sub) return std::unexpected(std::move(sub).error());
  TRY(auto st, sys::stat(*sub));
  if (::geteuid() != 0 && (st.st_mode & 0700u) != 0700u) TRY_DO(change_mode(*sub, 0700));
  TRY(const auto names, sys::list_dir_at(*sub, "."));
  for (const std::string& child : names) TRY_IN(name, remove_beneath(*sub, child));
  if (::unlinkat(dir.get(), name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT)
    return fail_errno(errno, "rmdir " + name);
  return {};
}

Result<Fd> open_beneath(const Fd& root, std::string_view path, int flags, mode_t mode) {
  if (path.empty()) return open2(root.get(), ".", flags, mode, kBeneath);
  Fd stage;
  while (path.size() > kStage) {
    const size_t cut = path.rfind('/', kStage);
    if (cut == std::string_view::npos || cut == 0) return fail(Code::kCorrupt, "a path has an overlong component");
    TRY(Fd next, open2(stage.valid() ? stage.get() : root.get(), std::string(path.substr(0, cut)), O_PATH | O_DIRECTORY,
                       0, kBeneath));
    stage = std::move(next);
    path.remove_prefix(cut + 1);
  }
  return open2(stage.valid() ? stage.get() : root.get(), std::string(path), flags, mode, kBeneath);
}

Result<Fd> open_parent_beneath(const Fd& root, std::string_view path, std::string& name) {
  name = std::string(name_of(path));
  return open_beneath(root, parent_of(path), O_PATH | O_DIRECTORY);
}

Result<Fd> open_in_root(const Fd& root, const std::string& path, int flags) {
  return open2(root.get(), path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

Result<struct stat> stat_beneath(const Fd& root, std::string_view path) {
  TRY(auto fd, open_beneath(root, path, O_PATH | O_NOFOLLOW));
  return sys::stat(fd);
}

}  // namespace godwit::files
