// godwit-cc: the compiler driver behind `godwit cc` and `godwit c++`. Takes a C compiler's command line.
//
// Called godwit-c++, or with --driver-mode=g++ first, it is a C++ compiler: that decides what .c means and whether the C++
// library is linked. C++ sources are compiled as such in any case.
//
// It compiles by clang-19 with the flags of neutral code (../libc/neutral-flags), so objects are bitcode, and links by
// godwit-link. It knows nothing of LLVM: a compilation costs what clang costs. What is between is files in a temporary
// folder, named after their sources.
//
// Called with --explain first it makes nothing and says what hinders a move: explain.cc.
//
// Environment: GODWIT_CLANG, another clang-19 than the one in PATH.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>

#include "base/temporary_folder.h"
#include "portable/driver/arguments.h"
#include "portable/driver/explain.h"
#include "portable/driver/tools.h"

namespace godwit::portable {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHelp = R"(usage: godwit cc [OPTION…] FILE…
       godwit c++ [OPTION…] FILE…

Compiles C and C++ for every architecture at once: the program that comes out runs on each of them and can move between them
while it runs. A C compiler's options work (-c -o -O -g -I -D -l -L -W… -std=…); objects can be put into archives by ar.

  --targets A,B   the architectures: x86_64, aarch64, riscv64 (the default), s390x, armhf; or all
  -fgodwit-report[=FILE]   tell where the program may stop, and its longest stretch without such a place; FILE.json: as JSON
  --keep DIR      keep what is made on the way: the instrumented bitcode, each architecture's executable
  -v              show the commands
  -E -S -c -fsyntax-only   stop earlier; -S writes LLVM's language

Refused: shared libraries, sanitizers, code for one processor (-march is ignored).
)";

constexpr const char* kExplainHelp = R"(usage: godwit explain [--json] [OPTION…] FILE…

Says what in a program hinders a move: where, why, and what would lift it. Takes the command line of godwit cc; name all
sources of the program, and the archives that it is linked with. Makes nothing. Status 0: no errors; 3: there are some.

  error     godwit cc refuses it
  warning   it is compiled, but fails at run time or bars a move while it lasts
  remark    good to know
  --json    an array of {file, line, column, severity, code, object, reason, lift}
)";

class Driver {
 public:
  Driver(Arguments arguments, Tools tools) : arguments_(std::move(arguments)), tools_(std::move(tools)) {}

  Result<int> drive() {
    if (arguments_.until != Until::kProgram) return compile_only();
    std::vector<std::string> link{
        tools_.linker.string(),  "-o",        arguments_.output.empty() ? "a.out" : arguments_.output, "--library",
        tools_.library.string(), link_level()};
    if (arguments_.verbose) link.emplace_back("-v");
    if (!arguments_.targets.empty()) link.insert(link.end(), {"--targets", arguments_.targets});
    if (!arguments_.keep.empty()) link.insert(link.end(), {"--keep", arguments_.keep});
    if (arguments_.with_libcxx) link.emplace_back("--cxx");
    if (arguments_.report) add_report(link);
    for (const auto& f : arguments_.library_folders) link.push_back("-L" + f);
    for (const auto& input : arguments_.inputs) {
      if (!input.is_source) {
        link.push_back(input.word);
        continue;
      }
      TRY(const auto object, temporary(input));
      if (const int status = compile(input, object, {"-c", "-emit-llvm"}); status != 0) return status;
      link.push_back(object);
    }
    return run(link, arguments_.verbose);
  }

 private:
  Result<int> compile_only() {
    const bool several = arguments_.inputs.size() > 1;
    if (several && !arguments_.output.empty() && arguments_.until != Until::kPreprocessed)
      return fail(Code::kUsage, "-o with several sources needs a link");
    for (const auto& input : arguments_.inputs) {
      if (!input.is_source) continue;
      std::vector<std::string> how;
      if (arguments_.until == Until::kObject) how = {"-c", "-emit-llvm"};
      if (arguments_.until == Until::kAssembly) how = {"-S", "-emit-llvm"};
      std::string output = arguments_.output;
      if (output.empty() && !how.empty())
        output = fs::path(input.word)
                     .filename()
                     .replace_extension(arguments_.until == Until::kObject ? ".o" : ".s")
                     .string();
      if (const int status = compile(input, output, how); status != 0) return status;
    }
    return 0;
  }

  int compile(const Input& input, const std::string& output, const std::vector<std::string>& how) {
    auto words = clang(tools_, input.is_cxx);
    words.insert(words.end(), arguments_.for_clang.begin(), arguments_.for_clang.end());
    words.insert(words.end(), how.begin(), how.end());
    if (!output.empty()) words.insert(words.end(), {"-o", output});
    if (!input.language.empty()) words.insert(words.end(), {"-x", input.language});
    words.push_back(input.word);
    return run(words, arguments_.verbose);
  }

  /// The report names lines, so there must be some. They are forgotten again when nobody else has asked for them: the program is
  /// the same with a report and without.
  void add_report(std::vector<std::string>& link) {
    link.insert(link.end(), {"--report", arguments_.report_file});
    if (arguments_.has_lines) return;
    arguments_.for_clang.emplace_back("-gline-tables-only");
    if (std::ranges::all_of(arguments_.inputs, &Input::is_source)) link.emplace_back("--forget-lines");
  }

  Result<std::string> temporary(const Input& input) {
    if (!folder_) {
      TRY(folder_, TemporaryFolder::make("godwit-cc"));
    }
    return (folder_->path() / fmt::format("{}-{}.o", objects_++, fs::path(input.word).stem().string())).string();
  }

  /// Without -O a compiler means -O0; that keeps every variable in memory and polls nothing away, so the least here is -O1.
  std::string link_level() const { return arguments_.level == "-O0" ? "-O1" : arguments_.level; }

  Arguments arguments_;
  Tools tools_;
  std::optional<TemporaryFolder> folder_;
  unsigned objects_ = 0;
};

bool take_first(std::vector<std::string>& words, std::string_view wanted) {
  if (words.empty() || words[0] != wanted) return false;
  words.erase(words.begin());
  return true;
}

Result<int> drive(std::vector<std::string> words, bool as_cxx) {
  const bool explains = take_first(words, "--explain");
  if (take_first(words, "--driver-mode=g++")) as_cxx = true;
  for (const auto& word : words)
    if (word == "--help") {
      fmt::print("{}", explains ? kExplainHelp : kHelp);
      return 0;
    }
  TRY(auto tools, find_tools());
  for (const auto& word : words)
    if (word == "--version" || word.starts_with("-dump") || word.starts_with("-print-")) {
      auto command = clang(tools, as_cxx);
      command.push_back(word);
      return run(command, false);
    }
  TRY(auto arguments, sort_arguments(words, as_cxx));
  if (arguments.inputs.empty()) return fail(Code::kUsage, "no input files");
  if (explains) return explain(arguments, tools);
  for (const auto& warning : arguments.warnings) fmt::print(stderr, "godwit cc: warning: {}\n", warning);
  return Driver(std::move(arguments), std::move(tools)).drive();
}

}  // namespace
}  // namespace godwit::portable

int main(int argc, char** argv) {
  const bool as_cxx = std::string_view(argv[0]).ends_with("c++");
  const auto status = godwit::portable::drive(std::vector<std::string>(argv + 1, argv + argc), as_cxx);
  if (status) return *status;
  const std::span<char*> words(argv, argc);
  const bool explains = argc > 1 && words[1] == std::string_view("--explain");
  if (explains && std::ranges::find(words, std::string_view("--json")) != words.end())
    fmt::print("{}", godwit::portable::error_as_json(status.error()));
  else
    fmt::print(stderr, "godwit {}: {}\n", explains ? "explain" : "cc", status.error().message());
  return status.error().code == godwit::Code::kUsage ? 2 : 1;
}
