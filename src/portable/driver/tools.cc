#include "portable/driver/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

namespace godwit::portable {

Result<Tools> find_tools() {
  std::error_code trouble;
  namespace fs = std::filesystem;
  const auto self = fs::read_symlink("/proc/self/exe", trouble);
  if (trouble) return fail(Code::kSystem, "reading /proc/self/exe: " + trouble.message());
  const char* named = ::getenv("GODWIT_CLANG");
  Tools tools{self.parent_path().parent_path() / "lib/godwit/portable", self.parent_path() / "godwit-link",
              named ? named : "clang-19"};
  if (!fs::exists(tools.library / "neutral-flags", trouble))
    return fail(Code::kSystem,
                fmt::format("{}: no C library of portable programs; build Godwit with llvm-19-dev installed",
                            tools.library.string()));
  return tools;
}

int run(const std::vector<std::string>& words, bool verbose, const std::string& errors) {
  if (verbose) fmt::print(stderr, "{}\n", fmt::join(words, " "));
  const pid_t child = ::fork();
  if (child == 0) {
    if (!errors.empty()) {
      const int file = ::open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      if (file < 0 || ::dup2(file, STDERR_FILENO) < 0) ::_exit(127);
    }
    std::vector<char*> argv;
    for (const auto& w : words) argv.push_back(const_cast<char*>(w.c_str()));
    argv.push_back(nullptr);
    ::execvp(argv[0], argv.data());
    fmt::print(stderr, "godwit cc: {}: {}{}\n", words[0], ::strerror(errno),
               words[0] == "clang-19" ? " (install the package clang-19)" : "");
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// The order matters: libc++'s headers come before the C library's.
std::vector<std::string> clang(const Tools& tools, bool as_cxx) {
  std::vector<std::string> words{tools.clang, "--no-default-config"};
  if (as_cxx) words.insert(words.end(), {"--driver-mode=g++", "--config=" + (tools.library / "c++-flags").string()});
  words.push_back("--config=" + (tools.library / "neutral-flags").string());
  return words;
}

}  // namespace godwit::portable
