// The words of a compiler's command line, sorted: which are ours, which clang's, which the linker's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace godwit::portable {

enum class Until { kPreprocessed, kAssembly, kObject, kProgram, kNothing };

/// A file, or a library of -l, in its place among the others: order matters to the linker.
struct Input {
  std::string word;
  std::string language;  ///< of -x before it; empty: by its name
  bool is_source = false;
  bool is_cxx = false;
};

struct Arguments {
  std::vector<Input> inputs;
  std::vector<std::string> for_clang;  ///< options of the compilation
  std::vector<std::string> library_folders;
  std::vector<std::string> warnings;  ///< what was left out, for standard error
  std::string output;
  std::string targets;  ///< empty: all
  std::string keep;     ///< --keep DIR
  std::string level = "-O0";
  Until until = Until::kProgram;
  bool verbose = false;
  bool report = false;      ///< -fgodwit-report
  std::string report_file;  ///< empty: standard output
  bool json = false;        ///< --json, of godwit explain
  bool has_lines = false;   ///< -g
  bool with_libcxx = false;  ///< link the C++ library
};

/// `as_cxx`: the words of a C++ compiler. It takes .c files for C++ and links the C++ library, as c++ does.
Result<Arguments> sort_arguments(const std::vector<std::string>& words, bool as_cxx);

}  // namespace godwit::portable
