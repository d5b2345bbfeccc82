// godwit-link: the linker of portable programs. `godwit cc` calls it; see link.h for the steps.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <llvm/IR/LLVMContext.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <future>
#include <optional>

#include "base/base.h"
#include "base/temporary_folder.h"
#include "portable/abi.h"
#include "portable/compiler/explain.h"
#include "portable/compiler/libcalls.h"
#include "portable/compiler/link.h"
#include "portable/compiler/report.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

/// godwit-link -o OUT --targets A,B --library DIR [-O N] [--keep DIR] [--cxx] [--report FILE [--forget-lines]]
/// [-LDIR…] INPUT…; an empty FILE is standard output. With --explain FILE: only says what it finds
Result<LinkOptions> parse(int argc, char** argv) {
  LinkOptions options;
  std::string all, names;
  for (const Target& t : targets()) {
    all += (all.empty() ? "" : ",") + std::string(t.name);
    if (t.by_default) names += (names.empty() ? "" : ",") + std::string(t.name);
  }
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const auto value = [&]() -> Result<std::string> {
      if (i + 1 >= argc) return fail(Code::kUsage, fmt::format("{} needs a value", word));
      return std::string(argv[++i]);
    };
    if (word == "-o") {
      TRY(options.output, value());
    } else if (word == "--targets") {
      TRY(names, value());
    } else if (word == "--library") {
      TRY(options.library, value());
    } else if (word == "--keep") {
      TRY(options.keep, value());
    } else if (word == "--cxx")
      options.with_libcxx = true;
    else if (word == "-v")
      options.verbose = true;
    else if (word == "--report") {
      options.report = true;
      TRY(options.report_file, value());
    } else if (word == "--explain") {
      TRY(options.explain, value());
    } else if (word == "--forget-lines")
      options.forget_lines = true;
    else if (word.starts_with("-O") && word.size() == 3)
      options.level = static_cast<unsigned>(word[2] - '0');
    else if (word.starts_with("-L"))
      options.library_folders.emplace_back(word.substr(2));
    else if (word.starts_with("-") && !word.starts_with("-l"))
      return fail(Code::kUsage, fmt::format("unknown option {}", word));
    else
      options.inputs.emplace_back(word);
  }
  if (names == "all") names = all;
  for (size_t at = 0; at <= names.size();) {
    const size_t comma = std::min(names.find(',', at), names.size());
    const auto name = names.substr(at, comma - at);
    const auto* target = find_target(name);
    if (!target) return fail(Code::kUsage, fmt::format("--targets: no architecture '{}'; there are: {}", name, all));
    options.targets.push_back(target);
    at = comma + 1;
  }
  if (options.inputs.empty()) return fail(Code::kUsage, "no input files");
  // Said before the work, not after it.
  if (const auto parent = options.output.parent_path(); !parent.empty() && !fs::is_directory(parent))
    return fail(Code::kUsage, fmt::format("-o {}: there is no folder {}", options.output.string(), parent.string()));
  return options;
}

/// With -v: the processor time of each step of the calling thread.
class Steps {
 public:
  explicit Steps(bool shown) : shown_(shown), since_(now()) {}
  void done(std::string_view name) {
    const double at = now();
    if (shown_) fmt::print(stderr, "godwit-link: {:<22} {:8.0f} ms\n", name, (at - since_) * 1e3);
    since_ = at;
  }

 private:
  static double now() {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
  }
  bool shown_;
  double since_;
};

Result<void> link(const LinkOptions& options) {
  Steps steps(options.verbose);
  std::optional<TemporaryFolder> temporary;
  fs::path folder = options.keep;
  if (folder.empty()) {
    TRY(temporary, TemporaryFolder::make("godwit-link"));
    folder = temporary->path();
  } else {
    TRY_DO(sys::make_dirs(folder.string()));
  }
  llvm::LLVMContext context;
  // A kind of metadata is numbered when it is first asked for, and the numbers are in the bitcode that the signature is of. Who asks
  // depends on whether there are line numbers.
  for (const char* kind : {"PGOFuncName", kLeaves}) context.getMDKindID(kind);
  Told told;
  const Listener listener{.told = options.report ? &told : nullptr, .forget_lines = options.forget_lines};
  told.library = options.library.string();
  std::unique_ptr<llvm::Module> module;
  std::set<std::string> of_back_ends;
  // Mostly once: again when the simplification has made something of what there was no need for before.
  for (bool more = true; more;) {
    TRY(module, read_program(options, context, of_back_ends, listener.told));
    steps.done("read");
    TRY_DO(simplify(*module, options.level, listener));
    steps.done("simplify");
    more = add_asked_of_back_ends(*module, of_back_ends);
    if (more && options.verbose) fmt::print(stderr, "godwit-link: again, with {}\n", fmt::join(of_back_ends, " "));
  }
  TRY(auto program, instrument(*module, listener));
  const bool low = std::ranges::any_of(options.targets, [](const Target* t) { return t->narrow; });
  program.arena = low ? GODWIT_LOW_ARENA : GODWIT_ARENA;
  program.arena_size = low ? GODWIT_LOW_ARENA_SIZE : GODWIT_ARENA_SIZE;
  steps.done("instrument");
  if (options.report) TRY_DO(write_report(options.output.filename().string(), told, options.report_file));
  if (!options.keep.empty()) TRY_DO(io::replace_file((folder / "program.bc").string(), program.bitcode));
  module.reset();
  std::vector<std::future<Result<void>>> parts;
  std::vector<fs::path> executables;
  for (const auto* target : options.targets) {
    const fs::path executable = folder / std::string(target->name);
    executables.push_back(executable);
    parts.push_back(std::async(std::launch::async, [&, target, executable]() -> Result<void> {
      const fs::path object = executable.string() + ".o";
      Steps own(options.verbose);
      TRY_DO(lower(program, options.output.filename().string(), *target, options.level, object));
      own.done(target->name);
      return assemble(options, *target, object, executable);
    }));
  }
  Result<void> outcome;
  for (auto& part : parts)
    if (auto done = part.get(); !done && outcome) outcome = std::move(done);
  TRY_DO(outcome);
  TRY_DO(same_addresses(executables));
  return pack(options.targets, executables, options.output);
}

}  // namespace
}  // namespace godwit::portable

int main(int argc, char** argv) {
  using namespace godwit;
  const auto done = [&]() -> Result<void> {
    TRY(const auto options, portable::parse(argc, argv));
    return options.explain.empty() ? portable::link(options) : portable::explain(options, options.explain);
  }();
  if (done) return 0;
  fmt::print(stderr, "godwit cc: {}\n", done.error().message());
  return done.error().code == Code::kUsage ? 2 : 1;
}
