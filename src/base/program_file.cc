#include "base/program_file.h"  // first, so that the header proves self-contained

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

namespace godwit {

std::string program_file(const std::string& word, const std::string& cwd) {
  const char* path = std::getenv("PATH");
  return program_file(word, cwd, path != nullptr ? path : "/usr/bin:/bin");
}

std::string program_file(const std::string& word, const std::string& cwd, const std::string& path) {
  const auto below = [&](const std::string& name) { return name.starts_with('/') ? name : cwd + "/" + name; };
  if (word.find('/') != std::string::npos) return below(word);
  std::istringstream directories(path);
  for (std::string directory; std::getline(directories, directory, ':');)
    if (std::string file = below(directory) + "/" + word; ::access(file.c_str(), X_OK) == 0) return file;
  return {};
}

std::string machine_name() {
  utsname names{};
  ::uname(&names);
  return names.machine;
}

}  // namespace godwit
