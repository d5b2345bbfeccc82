#include <errno.h>
#include <fmt/format.h>
#include <string.h>
#include <unistd.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"

namespace godwit::cli {
namespace {

/// The compiler driver is a program of its own: it needs none of the libraries that this one has.
int become(Context& context, const Parsed& parsed, const char* driver, const char* mode = nullptr) {
  std::error_code trouble;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", trouble);
  const std::string path = (self.parent_path() / driver).string();
  std::vector<std::string> words{path};
  if (mode) words.emplace_back(mode);
  words.insert(words.end(), parsed.arguments.begin(), parsed.arguments.end());
  std::vector<char*> argv;
  for (auto& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  return context.report(
      Error{Code::kSystem, errno,
            fmt::format("{}: this build of Godwit has no portable engine (it needs llvm-19-dev)", path)});
}

int run_cc(Context& context, const Parsed& parsed) { return become(context, parsed, "godwit-cc"); }
int run_cxx(Context& context, const Parsed& parsed) { return become(context, parsed, "godwit-c++"); }
int run_explain(Context& context, const Parsed& parsed) { return become(context, parsed, "godwit-cc", "--explain"); }

}  // namespace

const Command kCc = {
    .name = "cc",
    .group = "portable programs",
    .summary = "compile C for every architecture at once",
    .arguments = {{"ARGS", "as for a C compiler: files, -c, -o, -O2, -I, -l …", Words::kFile, true, true}},
    .options = {},
    .details =
        "A drop-in for cc: what it makes runs on x86_64, aarch64 and riscv64, with --targets also on s390x and armhf, "
        "and "
        "a running one can be checkpointed on one and go on on another. Objects can be put into archives; libraries "
        "must be compiled by it, too. "
        "`godwit cc --help` tells its own options.",
    .examples = "  godwit cc -O2 -o sim sim.c -lm\n  make CC=\"godwit cc\"",
    .raw = true,
    .run = run_cc};

const Command kCxx = {
    .name = "c++",
    .group = "portable programs",
    .summary = "compile C++ for every architecture at once",
    .arguments = {{"ARGS", "as for a C++ compiler: files, -c, -o, -O2, -I, -l …", Words::kFile, true, true}},
    .options = {},
    .details = "As godwit cc, for C++: exceptions, RTTI, threads and the standard library (libc++ 19) move, too.",
    .examples = "  godwit c++ -std=c++20 -O2 -o sim sim.cc",
    .raw = true,
    .run = run_cxx};

const Command kExplain = {
    .name = "explain",
    .group = "portable programs",
    .summary = "what in a C or C++ program hinders a move to another architecture",
    .arguments = {{"ARGS", "as for godwit cc: all files of the program, -I, -D, -l …; --json", Words::kFile, true,
                   true}},
    .options = {},
    .details =
        "Makes nothing, and says where, why and what to do, as a compiler would: error: godwit cc refuses it; warning: "
        "it is "
        "compiled, but fails at run time or bars a move while it lasts; remark: good to know. It looks through macros, "
        "templates and the program's own wrappers. Not seen are calls through pointers, and arguments that are known "
        "at run "
        "time only. With --json: an array. Status 0: no errors; 3: there are some.",
    .examples = "  godwit explain sim.c grid.c -Iinclude -lm\n  godwit explain --json sim.cc",
    .json = true,
    .raw = true,
    .run = run_explain};

}  // namespace godwit::cli
