#include "base/program_file.h"  // first, so that the header proves self-contained

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

namespace godwit {

std::string program_file(const std::string& word, const std::string& cwd) {
  if (word.find('/') != std::string::npos) return word.front() == '/' ? word : cwd + "/" + word;
  const char* path = std::getenv("PATH");
  std::istringstream directories(path != nullptr ? path : "/usr/bin:/bin");
  for (std::string directory; std::getline(directories, directory, ':');)
    if (std::string file = directory + "/" + word; ::access(file.c_str(), X_OK) == 0) return file;
  return {};
}

std::string machine_name() {
  utsname names{};
  ::uname(&names);
  return names.machine;
}

}  // namespace godwit
