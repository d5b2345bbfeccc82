// Directories that a unit has for itself instead of the node's: /tmp, /var/tmp (kOwnDirectories).
//
// Programs make files there that nobody named: the JVM a mapped file called after its PID, compilers their intermediate
// results, sort(1) its runs. They have to travel with the unit; and as its PIDs are its own, two units on a node would
// write to the same file. So a unit starts with an empty one, which travels whole, like --dir.
//
// But who says "godwit run -- /tmp/a.out" means the node's. So whoever names something that exists there (in the command
// line, as its directory, by --with or TMPDIR) and that isn't in --dir gets the node's directory, and with it the rules
// for the node's files: what is open for writing there must be shared when the unit moves.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace godwit::files {

/// Where a unit has a directory of its own.
inline constexpr std::string_view kOwnDirectories[] = {"/tmp", "/var/tmp"};

struct StartsWith {
  std::string work;  ///< its --dir, or empty
  std::string cwd;
  std::vector<std::string> words;  ///< what may name files: its command line, --with, the value of TMPDIR
};
/// On the node where the unit starts, in the node's own mount namespace. Paths, sorted.
std::vector<std::string> own_directories_of(const StartsWith& unit);

/// Whether `path` is in `dir`; not `dir` itself.
inline bool lies_below(std::string_view path, std::string_view dir) {
  return path.size() > dir.size() + 1 && path.starts_with(dir) && path[dir.size()] == '/';
}

}  // namespace godwit::files
