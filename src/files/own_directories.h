// Directories that a unit has for itself instead of the node's: /tmp, /var/tmp, /dev/shm (kOwnDirectories).
//
// Programs make files there that nobody named: the JVM a mapped file called after its PID, compilers their intermediate
// results, sort(1) its runs. They have to travel with the unit; and as its PIDs are its own, two units on a node would
// write to the same file. So a unit starts with an empty one, which travels whole, like --dir.
//
// /dev/shm is where glibc keeps named shared memory and semaphores (shm_open(3), sem_open(3)). What programs write there
// is memory to them, at memory's pace: on disk the kernel would write it back for ever. So the unit's own is a file system
// in memory (memory_mount(), mounts.h) that is attached in the unit's view and nowhere else: nothing of it is seen on the
// node, and it is gone with the unit, also when that was killed. It travels as files do, not as memory: an object that
// nobody has mapped at the moment is carried, too.
//
// But who says "godwit run -- /tmp/a.out" means the node's. So whoever names something that exists there (in the command
// line, as its directory, by --with or TMPDIR) and that isn't in --dir gets the node's directory, and with it the rules
// for the node's files: what is open for writing there must be shared when the unit moves.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::files {

/// Where a unit has a directory of its own.
struct OwnDirectory {
  std::string_view path;
  bool in_memory = false;  ///< else in the unit's directory on disk
};
inline constexpr OwnDirectory kOwnDirectories[] = {{"/tmp"}, {"/var/tmp"}, {"/dev/shm", true}};

/// Null: units have none of their own there.
inline const OwnDirectory* find_own_directory(std::string_view path) {
  const auto* found = std::ranges::find(kOwnDirectories, path, &OwnDirectory::path);
  return found == std::end(kOwnDirectories) ? nullptr : found;
}

struct StartsWith {
  std::string work;  ///< its --dir, or empty
  std::string cwd;
  std::vector<std::string> words;  ///< what may name files: its command line, --with, the value of TMPDIR
};
/// On the node where the unit starts, in the node's own mount namespace.
std::vector<OwnDirectory> own_directories_of(const StartsWith& unit);

/// Whether `path` is in `dir`; not `dir` itself.
inline bool lies_below(std::string_view path, std::string_view dir) {
  return path.size() > dir.size() + 1 && path.starts_with(dir) && path[dir.size()] == '/';
}

}  // namespace godwit::files
