#include "base/control_groups.h"

#include <algorithm>
#include <sstream>
#include <vector>

#include "base/io.h"

namespace godwit {
namespace {

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

}  // namespace

bool has_word(std::string_view list, std::string_view word) {
  for (size_t from = 0; from <= list.size();) {
    const size_t end = std::min(list.find_first_of(", \n", from), list.size());
    if (list.substr(from, end - from) == word) return true;
    from = end + 1;
  }
  return false;
}

std::optional<OwnGroup> own_control_group(std::string_view controller, const std::string& root) {
  const bool second = controller.empty();
  const auto mounts = control_group_mounts(io::read_file(root + "/proc/self/mountinfo").value_or(""));
  // "4:memory:/path" for version 1, "0::/path" for version 2.
  std::istringstream lines(io::read_file(root + "/proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), colon = line.find(':', first + 1);
    if (first == std::string::npos || colon == std::string::npos) continue;
    const auto names = std::string_view(line).substr(first + 1, colon - first - 1);
    if (second ? !names.empty() : !has_word(names, controller)) continue;
    std::string path = line.substr(colon + 1);
    for (const Mount& mount : mounts) {
      if (mount.type != (second ? "cgroup2" : "cgroup") || (!second && !has_word(mount.options, controller))) continue;
      // A container may have a part of the hierarchy mounted.
      if (mount.root != "/" && path.starts_with(mount.root)) path.erase(0, mount.root.size());
      if (path == "/") path.clear();
      return OwnGroup{root + mount.point, root + mount.point + path};
    }
  }
  return std::nullopt;
}

}  // namespace godwit
