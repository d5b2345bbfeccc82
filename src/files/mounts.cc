#include "files/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>

#include "base/io.h"

namespace godwit::files {
namespace {

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3') {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> fields;
  for (size_t at = 0; at < line.size();) {
    const size_t end = std::min(line.find(' ', at), line.size());
    fields.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  return fields;
}

bool number(std::string_view text, uint64_t& value) {
  return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc{};
}

// statx's mount id, whose constant Debian 12's glibc has but older ones lack.
Result<uint64_t> mount_id_of(int dir, const std::string& path, int flags) {
  struct statx sx{};
  if (::statx(dir, path.c_str(), flags | AT_NO_AUTOMOUNT, STATX_MNT_ID, &sx) < 0)
    return fail_errno(errno, "statx of " + path);
  if ((sx.stx_mask & STATX_MNT_ID) == 0) return fail(Code::kRefused, "this kernel tells no mount ids (Linux 5.8 does)");
  return sx.stx_mnt_id;
}

}  // namespace

Result<std::vector<Mount>> parse_mounts(std::string_view text) {
  std::vector<Mount> mounts;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const auto fields = split(text.substr(at, end - at));
    at = end + 1;
    // id parent major:minor root path options [optional…] - type source options
    const auto dash = std::ranges::find(fields, "-");
    Mount mount;
    if (fields.size() < 6 || fields.end() - dash < 2 || !number(fields[0], mount.id) ||
        !number(fields[1], mount.parent))
      return fail(Code::kCorrupt, "a line of mountinfo makes no sense");
    mount.path = unescape(fields[4]);
    mount.fs_type = std::string(dash[1]);
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

Result<std::vector<Mount>> read_mounts() {
  TRY(const auto text, io::read_file("/proc/self/mountinfo"));
  return parse_mounts(text);
}

Result<uint64_t> mount_id(const Fd& object) { return mount_id_of(object.get(), "", AT_EMPTY_PATH); }
Result<uint64_t> mount_id(const std::string& path) { return mount_id_of(AT_FDCWD, path, 0); }

std::vector<std::string> visible_children(const std::vector<Mount>& mounts, uint64_t id) {
  std::map<uint64_t, const Mount*> by_id;
  for (const Mount& mount : mounts) by_id[mount.id] = &mount;
  std::vector<std::string> paths;
  for (const Mount& mount : mounts) {
    if (mount.parent != id || mount.id == id) continue;
    // What one sees at its path is it, or something stacked on it; anything else hides it.
    const auto top = mount_id(mount.path);
    if (!top) continue;
    for (auto at = by_id.find(*top); at != by_id.end() && at->second->path == mount.path;
         at = by_id.find(at->second->parent)) {
      if (at->first == mount.id) {
        paths.push_back(mount.path);
        break;
      }
      if (at->second->parent == at->first) break;
    }
  }
  std::ranges::sort(paths);
  return paths;
}

Result<Fd> clone_mounts(const std::string& path) {
  const long fd = ::syscall(SYS_open_tree, AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  if (fd < 0) return fail_errno(errno, "open_tree of " + path);
  return Fd(static_cast<int>(fd));
}

Result<Fd> memory_mount() {
  const Fd context(static_cast<int>(::syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC)));
  if (!context.valid()) return fail_errno(errno, "fsopen of tmpfs");
  if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, "mode", "1777", 0) < 0 ||
      ::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
    return fail_errno(errno, "fsconfig of tmpfs");
  const long fd = ::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  if (fd < 0) return fail_errno(errno, "fsmount of tmpfs");
  return Fd(static_cast<int>(fd));
}

Result<void> attach_mounts(const Fd& tree, const std::string& path) {
  if (::syscall(SYS_move_mount, tree.get(), "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH) < 0)
    return fail_errno(errno, "move_mount to " + path);
  return {};
}

}  // namespace godwit::files
