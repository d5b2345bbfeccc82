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
int become(Context& context, const Parsed& parsed, const char* driver) {
  std::error_code trouble;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", trouble);
  const std::string path = (self.parent_path() / driver).string();
  std::vector<std::string> words{path};
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

}  // namespace

const Command kCc = {
    .name = "cc",
    .group = "portable programs",
    .summary = "compile C for every architecture at once",
    .arguments = {{"ARGS", "as for a C compiler: files, -c, -o, -O2, -I, -l …", Words::kFile, true, true}},
    .options = {},
    .details =
        "A drop-in for cc: what it makes runs on x86_64, aarch64 and riscv64, and a running one can be checkpointed on "
        "one "
        "and go on on another. Objects can be put into archives; libraries must be compiled by it, too. "
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

}  // namespace godwit::cli
