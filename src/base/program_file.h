// Which file a command's first word names, and which machine it would run on.
#pragma once

#include <string>

namespace godwit {

/// The file that execvp(3) would start with `cwd` as its working directory. Empty: nothing in PATH has that name. A word with a
/// slash is a path, whether there is such a file or not.
std::string program_file(const std::string& word, const std::string& cwd);
/// The same by another PATH than this process's. Its directories that aren't absolute, and empty ones, are below `cwd`.
std::string program_file(const std::string& word, const std::string& cwd, const std::string& path);

/// `uname -m`.
std::string machine_name();

}  // namespace godwit
