// The programs that the driver calls, and where its library is.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::portable {

struct Tools {
  std::filesystem::path library;  ///< headers, neutral-flags, libc.bc …
  std::filesystem::path linker;
  std::string clang;
};

Result<Tools> find_tools();

/// Exit status of the command; 127 when it can't be started. With `errors` its standard error goes to that file.
int run(const std::vector<std::string>& words, bool verbose, const std::string& errors = {});

/// The begin of a command of clang's.
std::vector<std::string> clang(const Tools& tools, bool as_cxx);

}  // namespace godwit::portable
