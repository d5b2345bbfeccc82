#include "portable/driver/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>

namespace godwit::portable {
namespace {

/// Options of clang whose value is the next word.
constexpr std::array kWithValue = {
    "-D",       "-U",           "-I",    "-include", "-imacros",     "-isystem", "-iquote",        "-idirafter",
    "-iprefix", "-iwithprefix", "-MF",   "-MT",      "-MQ",          "-Xclang",  "-Xpreprocessor", "-Xanalyzer",
    "-mllvm",   "--param",      "-arch", "-std",     "-ccc-gcc-name"};

enum class Fate { kClang, kDrop, kWarn, kRefuse };
struct Row {
  std::string_view prefix;
  Fate fate;
  std::string_view why = {};
};
/// What is special about options that begin so; the first that fits counts. To add one: a row here.
constexpr Row kRows[] = {
    {"-shared", Fate::kRefuse, "shared libraries aren't portable; make an archive of objects (ar)"},
    {"-rdynamic", Fate::kRefuse, "a portable program has no dynamic symbols"},
    {"-fsanitize", Fate::kRefuse, "a sanitizer's shadow memory can't be carried; use it with a native compiler"},
    {"-fprofile", Fate::kRefuse, "profiles are written by a native runtime; use a native compiler"},
    {"--coverage", Fate::kRefuse, "profiles are written by a native runtime; use a native compiler"},
    {"-march=", Fate::kWarn, "the code is for several processors"},
    {"-mtune=", Fate::kDrop},
    {"-mcpu=", Fate::kWarn, "the code is for several processors"},
    {"-m64", Fate::kDrop},
    {"-m32", Fate::kRefuse, "portable programs have 64-bit pointers"},
    {"-msse", Fate::kWarn, "the code is for several processors"},
    {"-mavx", Fate::kWarn, "the code is for several processors"},
    {"-static", Fate::kDrop},
    {"-static-lib", Fate::kDrop},
    {"-stdlib=libc++", Fate::kDrop},
    {"-stdlib=", Fate::kWarn, "the C++ library is libc++"},
    {"-pie", Fate::kDrop},
    {"-no-pie", Fate::kDrop},
    {"-fPIC", Fate::kDrop},
    {"-fpic", Fate::kDrop},
    {"-fPIE", Fate::kDrop},
    {"-fpie", Fate::kDrop},
    {"-fno-pic", Fate::kDrop},
    {"-fno-pie", Fate::kDrop},
    {"-fno-PIE", Fate::kDrop},
    {"-fuse-ld=", Fate::kDrop},
    {"-Wl,", Fate::kDrop},
    {"-s", Fate::kDrop},
    {"-pipe", Fate::kDrop},
    {"-flto", Fate::kDrop},
    {"-fno-lto", Fate::kDrop},
    {"-fstack-protector", Fate::kDrop},
    {"-fstack-clash-protection", Fate::kDrop},
    {"-fcf-protection", Fate::kDrop},
    {"-nostdlib", Fate::kRefuse, "the C library is part of what moves"},
    {"-nostartfiles", Fate::kRefuse, "the start code is part of what moves"},
};

bool is_exact(std::string_view prefix) {
  return prefix == "-s" || prefix == "-static" || prefix == "-pie" || prefix == "-shared";
}

const Row* special(std::string_view word) {
  for (const Row& row : kRows)
    if (is_exact(row.prefix) ? word == row.prefix : word.starts_with(row.prefix)) return &row;
  return nullptr;
}

constexpr std::string_view kCEndings[] = {"c", "i"};
constexpr std::string_view kCxxEndings[] = {"cc", "cpp", "cxx", "C", "c++", "cp", "CPP", "ii"};

template <size_t N>
bool ends_in(std::string_view name, const std::string_view (&endings)[N]) {
  const auto dot = name.rfind('.');
  return dot != std::string_view::npos && std::ranges::find(endings, name.substr(dot + 1)) != std::end(endings);
}

Input make_input(std::string_view name, std::string_view language, bool as_cxx) {
  Input input{.word = std::string(name), .language = std::string(language)};
  input.is_source = !language.empty() || name == "-" || ends_in(name, kCEndings) || ends_in(name, kCxxEndings);
  if (language.empty())
    input.is_cxx = ends_in(name, kCxxEndings) || (as_cxx && input.is_source);
  else
    input.is_cxx = language.starts_with("c++");
  return input;
}

/// What others call the C++ library and its parts.
bool is_cxx_library(std::string_view name) {
  for (const std::string_view part : {"stdc++", "c++", "c++abi", "supc++", "stdc++fs", "c++fs", "c++experimental"})
    if (name == part) return true;
  return false;
}

/// @FILE: words from a file, as build tools write them for long command lines.
Result<std::vector<std::string>> expand(const std::vector<std::string>& words) {
  std::vector<std::string> all;
  for (const auto& word : words) {
    if (!word.starts_with('@')) {
      all.push_back(word);
      continue;
    }
    std::ifstream file(word.substr(1));
    if (!file) return fail(Code::kNotFound, fmt::format("{}: no such file", word.substr(1)));
    for (std::string w; file >> w;) all.push_back(w);
  }
  return all;
}

class Sorter {
 public:
  Sorter(std::vector<std::string> words, bool as_cxx) : words_(std::move(words)), as_cxx_(as_cxx) {}

  Result<Arguments> sort() {
    result_.with_libcxx = as_cxx_;
    for (at_ = 0; at_ < words_.size(); ++at_) TRY_DO(take(words_[at_]));
    return std::move(result_);
  }

 private:
  Result<std::string> value(std::string_view option, std::string_view joined) {
    if (!joined.empty()) return std::string(joined);
    if (at_ + 1 >= words_.size()) return fail(Code::kUsage, fmt::format("{} needs a value", option));
    return words_[++at_];
  }

  Result<void> take(const std::string& word) {
    if (word.size() < 2 || word[0] != '-') {
      result_.inputs.push_back(make_input(word, language_, as_cxx_));
      return {};
    }
    if (take_mode(word)) return {};
    TRY(const bool ours, take_ours(word));
    if (ours) return {};
    if (const Row* row = special(word)) return apply(*row, word);
    note_lines(word);
    result_.for_clang.push_back(word);
    if (std::ranges::find(kWithValue, word) != kWithValue.end()) {
      TRY(auto next, value(word, ""));
      result_.for_clang.push_back(std::move(next));
    }
    return {};
  }

  /// -g, -g2, -ggdb, -gline-tables-only …, but not -g0.
  void note_lines(std::string_view word) {
    if (word.starts_with("-g") && word != "-gcc-toolchain") result_.has_lines = word != "-g0";
  }

  bool take_mode(std::string_view word) {
    if (word == "-E" || word == "-M" || word == "-MM")
      result_.until = Until::kPreprocessed;
    else if (word == "-S")
      result_.until = Until::kAssembly;
    else if (word == "-c")
      result_.until = Until::kObject;
    else if (word == "-fsyntax-only")
      result_.until = Until::kNothing;
    else
      return false;
    if (word != "-S" && word != "-c") result_.for_clang.emplace_back(word);
    return true;
  }

  Result<bool> take_ours(const std::string& word) {
    const std::string_view text = word;
    if (text.starts_with("-o")) {
      TRY(result_.output, value("-o", text.substr(2)));
    } else if (text.starts_with("-l")) {
      TRY(const auto name, value("-l", text.substr(2)));
      if (is_cxx_library(name))
        result_.with_libcxx = true;
      else
        result_.inputs.push_back({.word = "-l" + name});
    } else if (text.starts_with("-L")) {
      TRY(auto folder, value("-L", text.substr(2)));
      result_.library_folders.push_back(std::move(folder));
    } else if (text.starts_with("-x")) {
      TRY(language_, value("-x", text.substr(2)));
      if (language_ == "none") language_.clear();
    } else if (text == "--targets" || text.starts_with("--targets=")) {
      TRY(result_.targets, value("--targets", text.substr(std::min(text.size(), sizeof "--targets"))));
    } else if (text == "--keep" || text.starts_with("--keep=")) {
      TRY(result_.keep, value("--keep", text.substr(std::min(text.size(), sizeof "--keep"))));
    } else if (text == "-fgodwit-report" || text.starts_with("-fgodwit-report=")) {
      result_.report = true;
      result_.report_file = text.substr(std::min(text.size(), sizeof "-fgodwit-report"));
    } else if (text.starts_with("-O")) {
      result_.level = text == "-O"                       ? "-O1"
                      : text == "-Os" || text == "-Oz"   ? "-O2"
                      : text == "-Ofast" || text > "-O3" ? "-O3"
                                                         : word;
      if (text == "-Os" || text == "-Oz" || text == "-Ofast") result_.for_clang.push_back(word);
    } else if (text == "--json") {
      result_.json = true;
    } else if (text == "-nostdlib++") {
      result_.with_libcxx = false;
    } else if (text == "-v") {
      result_.verbose = true;
    } else {
      return false;
    }
    return true;
  }

  Result<void> apply(const Row& row, const std::string& word) {
    switch (row.fate) {
      case Fate::kClang: result_.for_clang.push_back(word); break;
      case Fate::kDrop: break;
      case Fate::kWarn: result_.warnings.push_back(fmt::format("{} is ignored: {}", word, row.why)); break;
      case Fate::kRefuse: return fail(Code::kUsage, fmt::format("{}: {}", word, row.why));
    }
    return {};
  }

  std::vector<std::string> words_;
  bool as_cxx_;
  size_t at_ = 0;
  std::string language_;
  Arguments result_;
};

}  // namespace

Result<Arguments> sort_arguments(const std::vector<std::string>& words, bool as_cxx) {
  TRY(auto all, expand(words));
  return Sorter(std::move(all), as_cxx).sort();
}

}  // namespace godwit::portable
