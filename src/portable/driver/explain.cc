// What in a program hinders a move, in clang's way of saying things.
//
// Three sources of findings, one table (../explain/checks.cc): what clang can't compile for portable programs (registers, headers
// and intrinsics of one processor never reach its output); conditional directives that ask for a processor; and all that
// godwit-link sees in the bitcode. They are sorted by place and said once.
//
// A source that clang refuses doesn't keep the others from being looked at; but what is undefined can't be said without it.
#include "portable/driver/explain.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/base.h"
#include "base/temporary_folder.h"
#include "portable/driver/directives.h"
#include "portable/explain/findings.h"

namespace godwit::portable {
namespace {

namespace fs = std::filesystem;

constexpr size_t kFileMax = size_t{64} << 20;

/// "FILE:LINE:COLUMN: REST".
struct Said {
  std::string file, rest;
  unsigned line = 0, column = 0;
};

std::optional<Said> parse_said(std::string_view text) {
  for (size_t at = text.find(':'); at != std::string_view::npos; at = text.find(':', at + 1)) {
    Said said{.file = std::string(text.substr(0, at))};
    const char* end = text.data() + text.size();
    auto number = std::from_chars(text.data() + at + 1, end, said.line);
    if (number.ec != std::errc() || number.ptr == end || *number.ptr != ':') continue;
    number = std::from_chars(number.ptr + 1, end, said.column);
    if (number.ec != std::errc() || end - number.ptr < 2 || *number.ptr != ':') continue;
    said.rest = std::string(number.ptr + 2, end);
    return said;
  }
  return std::nullopt;
}

class Explanation {
 public:
  Explanation(const Arguments& arguments, const Tools& tools, const fs::path& folder)
      : arguments_(arguments), tools_(tools), folder_(folder) {}

  Result<std::vector<Finding>> find() {
    std::vector<std::string> inputs;
    bool with_libcxx = arguments_.with_libcxx;
    for (const auto& input : arguments_.inputs) {
      if (!input.is_source) {
        inputs.push_back(input.word);
        continue;
      }
      with_libcxx = with_libcxx || input.is_cxx;
      TRY(const auto object, compile(input));
      if (!object.empty()) inputs.push_back(object);
    }
    TRY_DO(look_at_directives());
    if (!inputs.empty()) TRY_DO(ask_linker(inputs, with_libcxx));
    const auto place = [](const Finding& f) { return std::tie(f.file, f.line, f.column, f.code, f.object); };
    std::ranges::stable_sort(findings_, [&](const auto& a, const auto& b) { return place(a) < place(b); });
    const auto [first, last] = std::ranges::unique(findings_);
    findings_.erase(first, last);
    return std::move(findings_);
  }

 private:
  /// The object, with lines; empty when clang refuses the source.
  Result<std::string> compile(const Input& input) {
    const auto base = (folder_ / fmt::format("{}-{}", count_++, fs::path(input.word).stem().string())).string();
    auto words = clang(tools_, input.is_cxx);
    for (const auto& word : arguments_.for_clang)
      if (!word.starts_with("-M") && word != "-E" && word != "-fsyntax-only") words.push_back(word);
    words.insert(words.end(), {"-w", "-g", "-ferror-limit=0", "-fno-caret-diagnostics", "-fno-color-diagnostics",
                               "-MMD", "-MF", base + ".d", "-c", "-emit-llvm", "-o", base + ".o"});
    if (!input.language.empty()) words.insert(words.end(), {"-x", input.language});
    words.push_back(input.word);
    const int status = run(words, arguments_.verbose, base + ".errors");
    TRY(const auto errors, io::read_file(base + ".errors", kFileMax));
    add_file(input.word);
    if (const auto list = io::read_file(base + ".d", kFileMax)) add_files(*list);
    if (status == 0) return base + ".o";
    complete_ = false;
    const size_t before = findings_.size();
    take_errors(errors);
    if (findings_.size() == before)
      return fail(Code::kFailed, fmt::format("clang-19 ended with {}:\n{}", status, errors));
    return std::string();
  }

  /// A rule of make: "x.o: a.c a.h \".
  void add_files(std::string_view rule) {
    std::string word;
    rule.remove_prefix(std::min(rule.find(": ") + 1, rule.size()));
    for (size_t i = 0; i <= rule.size(); ++i) {
      const char c = i < rule.size() ? rule[i] : ' ';
      if (c == '\\' && i + 1 < rule.size() && rule[i + 1] == ' ') {
        word += ' ', ++i;
      } else if (c == ' ' || c == '\n' || c == '\\') {
        if (!word.empty()) add_file(word);
        word.clear();
      } else {
        word += c;
      }
    }
  }
  void add_file(const std::string& file) {
    if (std::ranges::find(files_, file) == files_.end()) files_.push_back(file);
  }

  bool is_foreign(const std::string& file) const {
    return file.starts_with(tools_.library.string() + "/") || file.contains("/lib/clang/");
  }

  /// An error in a header that isn't the program's is told at the program's #include.
  void take_errors(std::string_view text) {
    Said included;
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      auto line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      constexpr std::string_view kFrom = "In file included from ";
      if (line.starts_with(kFrom)) {
        const auto from = parse_said(fmt::format("{}1: x", line.substr(kFrom.size())));
        if (from && !is_foreign(from->file)) included = *from;
        continue;
      }
      const auto said = parse_said(line);
      if (!said) continue;
      const bool foreign = is_foreign(said->file);
      const size_t word = said->rest.find("error: ");
      if (word == 0 || said->rest.starts_with("fatal error: "))
        take_error(foreign ? included : *said, said->rest.substr(word + sizeof "error: " - 1), foreign);
      if (!foreign) included = {};  // clang says only once how it came into a header
    }
  }

  void take_error(const Said& at, const std::string& message, bool in_header) {
    for (const auto& check : checks()) {
      if (check.where != Where::kClang || !message.contains(check.match)) continue;
      // What else is wrong in somebody else's header is of no interest.
      if (in_header && !check.code.ends_with("-header")) return;
      auto finding = make_finding(check, at.file, at.line, at.column, message);
      if (check.match.empty()) finding.what = message;
      findings_.push_back(std::move(finding));
      return;
    }
  }

  Result<void> look_at_directives() {
    for (const auto& check : checks()) {
      if (check.where != Where::kDirective) continue;
      for (const auto& file : files_) {
        if (is_foreign(file)) continue;
        const auto text = io::read_file(file, kFileMax);
        if (!text) continue;  // clang has said so
        for (const auto& d : processor_directives(*text, check.match))
          findings_.push_back(make_finding(check, file, d.line, d.column, d.macro));
      }
    }
    return {};
  }

  Result<void> ask_linker(const std::vector<std::string>& inputs, bool with_libcxx) {
    const auto path = (folder_ / "findings").string();
    std::vector<std::string> words{tools_.linker.string(),  "--explain", path, "--library",
                                   tools_.library.string(), "-O2"};
    if (with_libcxx) words.emplace_back("--cxx");
    for (const auto& f : arguments_.library_folders) words.push_back("-L" + f);
    words.insert(words.end(), inputs.begin(), inputs.end());
    if (run(words, arguments_.verbose) != 0)
      return fail(Code::kFailed, "the program can't be looked through (see above)");
    TRY(const auto text, io::read_file(path, kFileMax));
    TRY(auto more, from_lines(text));
    for (auto& finding : more)
      if (complete_ || finding.code != "undefined") findings_.push_back(std::move(finding));
    return {};
  }

  const Arguments& arguments_;
  const Tools& tools_;
  fs::path folder_;
  std::vector<std::string> files_;  ///< of the program: sources and headers
  std::vector<Finding> findings_;
  bool complete_ = true;
  unsigned count_ = 0;
};

std::string as_text(const std::vector<Finding>& findings) {
  std::string text;
  std::array<size_t, 3> counts{};
  for (const auto& f : findings) {
    ++counts[static_cast<size_t>(f.severity)];
    const auto place = f.file.empty() ? std::string() : fmt::format("{}:{}:{}: ", f.file, f.line, f.column);
    text += fmt::format("{0}{1}: {2} [{3}]\n{0}note: {4}\n{0}note: to lift it: {5}\n", place, name_of(f.severity),
                        f.what, f.code, f.why, f.lift);
  }
  const auto plural = [](size_t n, std::string_view word) {
    return fmt::format("{} {}{}", n, word, n == 1 ? "" : "s");
  };
  return text + fmt::format("{}, {}, {}\n", plural(counts[2], "error"), plural(counts[1], "warning"),
                            plural(counts[0], "remark"));
}

std::string as_json(const std::vector<Finding>& findings) {
  auto all = nlohmann::ordered_json::array();
  for (const auto& f : findings)
    all.push_back({{"file", f.file},
                   {"line", f.line},
                   {"column", f.column},
                   {"severity", name_of(f.severity)},
                   {"code", f.code},
                   {"object", f.object},
                   {"reason", f.what + ": " + f.why},
                   {"lift", f.lift}});
  return all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

Result<int> explain(const Arguments& arguments, const Tools& tools) {
  TRY(const auto folder, TemporaryFolder::make("godwit-explain"));
  TRY(const auto findings, Explanation(arguments, tools, folder.path()).find());
  TRY_DO(io::write_full(STDOUT_FILENO, arguments.json ? as_json(findings) : as_text(findings)));
  return std::ranges::any_of(findings, [](const auto& f) { return f.severity == Severity::kError; }) ? 3 : 0;
}

std::string error_as_json(const Error& error) {
  const nlohmann::ordered_json all = {
      {"error",
       {{"code", code_name(error.code)}, {"message", error.message()}, {"blockers", nlohmann::json::array()}}}};
  return all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace godwit::portable
