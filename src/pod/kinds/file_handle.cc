#include "pod/kinds/file_handle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <deque>
#include <ranges>
#include <vector>

#include "base/io.h"
#include "base/sys.h"
#include "pod/kinds/common.h"

namespace godwit::pod::kinds {
namespace {

struct Handle {
  file_handle head;
  std::array<unsigned char, MAX_HANDLE_SZ> bytes;
};

std::optional<std::string_view> word_after(std::string_view line, std::string_view key) {
  const auto at = line.find(key);
  if (at == line.npos) return std::nullopt;
  line.remove_prefix(at + key.size());
  return line.substr(0, line.find(' '));
}

Result<Handle> parse_handle(std::string_view line) {
  const auto bytes = word_after(line, "fhandle-bytes:");
  const auto type = word_after(line, "fhandle-type:");
  const auto hex = word_after(line, "f_handle:");
  if (!bytes || !type || !hex) return fail(Code::kNotFound, "the file system has no file handles");
  Handle handle{};
  TRY(const uint64_t length, parse_number(*bytes, 16));
  TRY(const uint64_t kind, parse_number(*type, 16));
  if (length > handle.bytes.size() || hex->size() < 2 * length) return fail(Code::kFailed, "an odd file handle");
  handle.head.handle_bytes = static_cast<unsigned>(length);
  handle.head.handle_type = static_cast<int>(kind);
  for (size_t i = 0; i < length; ++i) {
    TRY(const uint64_t byte, parse_number(hex->substr(2 * i, 2), 16));
    handle.bytes[i] = static_cast<unsigned char>(byte);
  }
  return handle;
}

// mountinfo writes blanks and the like as \040.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Does the path lead there, from the process's root?
bool leads_to(DumpContext& ctx, pid_t host_pid, const std::string& path, ino_t inode) {
  const auto st = sys::stat_at(ctx.proc_dir(), std::to_string(host_pid) + "/root" + path, AT_SYMLINK_NOFOLLOW);
  return st && st->st_ino == inode;
}

Result<Place> by_handle(DumpContext& ctx, pid_t host_pid, std::string_view line, dev_t dev, ino_t inode) {
  TRY(Handle handle, parse_handle(line));
  TRY(const std::string mounts, io::read_file_at(ctx.proc_dir(), std::to_string(host_pid) + "/mountinfo"));
  const std::string device = std::to_string(major(dev)) + ":" + std::to_string(minor(dev));
  // From the last mount back: a unit's own directory is mounted over a view of the host, in which the same file may have
  // another path, one that is good on this machine only.
  for (const std::string_view mount : split(mounts, '\n') | std::views::reverse) {
    const auto words = split(mount, ' ');
    if (words.size() < 5 || words[2] != device) continue;
    const auto root = sys::open_at(ctx.proc_dir(), std::to_string(host_pid) + "/root" + unescape(words[4]),
                                   O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    if (!root) continue;
    const Fd file(::open_by_handle_at(root->get(), &handle.head, O_PATH | O_CLOEXEC));
    if (!file.valid()) continue;
    const auto st = sys::stat(file);
    const auto path = sys::read_link_at(ctx.proc_dir(), "self/fd/" + std::to_string(file.get()));
    if (!st || !path || st->st_ino != inode) continue;
    if (marked_deleted(*path) || leads_to(ctx, host_pid, *path, inode)) return Place{*path, st->st_mode};
  }
  return fail(Code::kNotFound, "no mount of device " + device + " opens the file handle");
}

// Breadth first below `start`; bounded, because a search may come while the unit stands.
Result<Place> by_search(DumpContext& ctx, pid_t host_pid, const std::string& start, dev_t dev, ino_t inode) {
  constexpr size_t kMostEntries = 20'000;
  const std::string root = std::to_string(host_pid) + "/root";
  std::deque<std::string> directories{start};
  size_t seen = 0;
  while (!directories.empty() && seen < kMostEntries) {
    const std::string dir = std::move(directories.front());
    directories.pop_front();
    std::string below = root;
    below += dir;
    const auto opened = sys::open_at(ctx.proc_dir(), below, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK);
    if (!opened) continue;
    const auto own = sys::stat(*opened);
    if (own && own->st_ino == inode && own->st_dev == dev) return Place{dir, own->st_mode};
    const auto names = sys::list_dir_at(*opened, ".");
    if (!names) continue;
    for (const auto& name : *names) {
      if (++seen > kMostEntries) break;
      const auto st = sys::stat_at(*opened, name, AT_SYMLINK_NOFOLLOW);
      if (!st || st->st_dev != dev) continue;
      const std::string path = dir == "/" ? "/" + name : dir + "/" + name;
      if (st->st_ino == inode) return Place{path, st->st_mode};
      if (S_ISDIR(st->st_mode)) directories.push_back(path);
    }
  }
  return fail(Code::kNotFound, "not found below " + start);
}

}  // namespace

Result<Place> find_by_handle(DumpContext& ctx, pid_t host_pid, std::string_view line, dev_t dev, ino_t inode) {
  auto place = by_handle(ctx, host_pid, line, dev, inode);
  if (place) return place;
  const auto cwd = sys::read_link_at(ctx.proc_dir(), std::to_string(host_pid) + "/cwd");
  if (cwd && !marked_deleted(*cwd)) place = by_search(ctx, host_pid, *cwd, dev, inode);
  if (!place) place = by_search(ctx, host_pid, "/", dev, inode);
  return place;
}

}  // namespace godwit::pod::kinds
