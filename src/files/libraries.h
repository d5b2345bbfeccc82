// What the dynamic loader looks for when a program is started: for programs that the user named by --with, which the unit
// may start at the destination when nothing of them is mapped yet.
//
// A program without its libraries is of no use on another distribution, and worse beside some of them: where the unit's
// libc was carried, the destination's own programs can't be started any more if they need a newer one. Not found are
// libraries that a program loads by dlopen(3), and those of directories in LD_LIBRARY_PATH.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::files {

class Libraries {
 public:
  /// `root` is what the paths are below; it must outlive this.
  explicit Libraries(const Fd& root) : root_(root) {}
  /// The file's interpreter (ld.so) and the libraries that it names, where they are found: along its RUNPATH, by
  /// /etc/ld.so.cache, in the usual directories. Without what those need in turn. Empty for what is no x86-64 ELF file; a
  /// damaged one gives what could be read of it. Paths are absolute.
  std::vector<std::string> of(const std::string& path);

 private:
  std::string find(const std::string& name, const std::string& run_path, const std::string& origin);
  bool there(const std::string& path) const;
  const Fd& root_;
  std::optional<std::map<std::string, std::string>> cache_;  // /etc/ld.so.cache, once it was needed
};

}  // namespace godwit::files
