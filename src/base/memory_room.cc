#include "base/memory_room.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include "base/io.h"

namespace godwit {
namespace {

constexpr uint64_t kUnbounded = UINT64_MAX;

/// The number after `key` at the beginning of a line.
std::optional<uint64_t> number_of(std::string_view text, std::string_view key) {
  for (size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    const size_t digit = text.find_first_not_of(" \t:", at + key.size());
    uint64_t value = 0;
    if (digit == std::string_view::npos) return std::nullopt;
    const char* end = text.data() + text.size();
    if (std::from_chars(text.data() + digit, end, value).ec == std::errc()) return value;
  }
  return std::nullopt;
}

/// The names of the files of a version.
struct Files {
  const char *limit, *usage, *reclaimable;
};
constexpr Files kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr Files kVersion2{"memory.max", "memory.current", "inactive_file"};

uint64_t room_of_group(const std::string& dir, const Files& files) {
  const auto limit = number_of(io::read_file(dir + "/" + files.limit).value_or(""), "");  // "max" is no number
  const auto usage = number_of(io::read_file(dir + "/" + files.usage).value_or(""), "");
  if (!limit || !usage) return kUnbounded;
  const auto reclaimable = number_of(io::read_file(dir + "/memory.stat").value_or(""), files.reclaimable).value_or(0);
  const uint64_t held = *usage - std::min(*usage, reclaimable);
  return *limit - std::min(*limit, held);
}

/// `path` below where its hierarchy is mounted, and all above it: each may have a limit.
uint64_t room_of_path(const std::string& mount, std::string path, const Files& files) {
  uint64_t room = kUnbounded;
  for (;;) {
    room = std::min(room, room_of_group(mount + path, files));
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return room;
    path.resize(slash);
  }
}

struct Mount {
  std::string root, point, type, options;
};

/// proc_pid_mountinfo(5): "36 35 98:0 ROOT POINT options optional… - TYPE source SUPEROPTIONS".
std::vector<Mount> control_group_mounts(const std::string& mountinfo) {
  std::vector<Mount> out;
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Mount mount;
    std::string word;
    words >> word >> word >> word >> mount.root >> mount.point;
    while (words >> word && word != "-") {
    }
    words >> mount.type >> word >> mount.options;
    if (mount.type == "cgroup" || mount.type == "cgroup2") out.push_back(std::move(mount));
  }
  return out;
}

bool has_word(std::string_view list, std::string_view word) {
  for (size_t from = 0; from <= list.size();) {
    const size_t comma = std::min(list.find(',', from), list.size());
    if (list.substr(from, comma - from) == word) return true;
    from = comma + 1;
  }
  return false;
}

}  // namespace

uint64_t memory_room(const std::string& root) {
  uint64_t room = kUnbounded;
  if (const auto kib = number_of(io::read_file(root + "/proc/meminfo").value_or(""), "MemAvailable"))
    room = *kib * 1024;
  const auto mounts = control_group_mounts(io::read_file(root + "/proc/self/mountinfo").value_or(""));
  // "4:memory:/path" for version 1, "0::/path" for version 2.
  std::istringstream lines(io::read_file(root + "/proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const bool unified = second == first + 1;
    if (!unified && !has_word(std::string_view(line).substr(first + 1, second - first - 1), "memory")) continue;
    std::string path = line.substr(second + 1);
    for (const Mount& mount : mounts) {
      if (mount.type != (unified ? "cgroup2" : "cgroup") || (!unified && !has_word(mount.options, "memory"))) continue;
      // A container may have a part of the hierarchy mounted.
      if (mount.root != "/" && path.starts_with(mount.root)) path.erase(0, mount.root.size());
      if (path == "/") path.clear();
      room = std::min(room, room_of_path(root + mount.point, path, unified ? kVersion2 : kVersion1));
      break;
    }
  }
  return room;
}

}  // namespace godwit
