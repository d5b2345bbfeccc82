#include "files/own_directories.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/sys.h"

namespace godwit::files {
namespace {

// What ends a path in a word of a command line, which may be a script: sh -c 'sort </tmp/in >/tmp/out'.
constexpr std::string_view kEnds = " \t\n'\"`;|&()<>:,=";

// Whether a word names something that exists below `dir` on this node, outside of the unit's work directory.
bool names_something_in(std::string_view dir, std::string_view word, std::string_view work) {
  for (size_t at = word.find(dir); at != std::string_view::npos; at = word.find(dir, at + 1)) {
    if (at > 0 && kEnds.find(word[at - 1]) == std::string_view::npos) continue;  // part of a longer path
    std::string_view path = word.substr(at, std::min(word.find_first_of(kEnds, at), word.size()) - at);
    while (path.ends_with('/')) path.remove_suffix(1);
    if (!lies_below(path, dir) || path == work || (!work.empty() && lies_below(path, work))) continue;
    if (sys::lstat(std::string(path))) return true;
  }
  return false;
}

bool wants_the_nodes(std::string_view dir, const StartsWith& unit) {
  const std::string_view work = unit.work;
  if (work == dir || work == "/" || (!work.empty() && lies_below(dir, work))) return true;  // it travels as that
  const auto names = [&](const std::string& word) { return names_something_in(dir, word, work); };
  return unit.cwd == dir || names(unit.cwd) || std::ranges::any_of(unit.words, names);
}

}  // namespace

std::vector<OwnDirectory> own_directories_of(const StartsWith& unit) {
  std::vector<OwnDirectory> own;
  for (const OwnDirectory& dir : kOwnDirectories) {
    const auto st = sys::stat(std::string(dir.path));
    if (st && S_ISDIR(st->st_mode) && !wants_the_nodes(dir.path, unit)) own.push_back(dir);
  }
  return own;
}

}  // namespace godwit::files
