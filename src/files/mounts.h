// The mount table of this process's mount namespace, and the mount calls that a view is built from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::files {

struct Mount {
  uint64_t id = 0;
  uint64_t parent = 0;
  std::string path;     ///< where it is mounted, as seen from this process's root
  std::string fs_type;  ///< "ext4", "overlay", …
};
Result<std::vector<Mount>> read_mounts();
/// Parses /proc/self/mountinfo (proc(5)): octal escapes undone. Lines that make no sense are Code::kCorrupt.
Result<std::vector<Mount>> parse_mounts(std::string_view text);

/// The id of the mount that a path lies on (statx, Linux 5.8), and whether the path is where it is mounted.
Result<uint64_t> mount_id(const Fd& object);
Result<uint64_t> mount_id(const std::string& path);

/// The paths mounted directly on the mount with this id that one can see (not hidden below a later mount), sorted.
std::vector<std::string> visible_children(const std::vector<Mount>& mounts, uint64_t id);

/// A copy of what is at `path` and of all that is mounted below it, attached nowhere (open_tree(2), Linux 5.2).
Result<Fd> clone_mounts(const std::string& path);
/// A new, empty file system in memory (tmpfs, made as /dev/shm is), attached nowhere: no mount table shows it, and it is
/// gone when nobody holds it any more (fsmount(2), Linux 5.2).
Result<Fd> memory_mount();
/// Attaches either.
Result<void> attach_mounts(const Fd& tree, const std::string& path);

}  // namespace godwit::files
