// From bitcode to one portable file. What each step does is in its .cc; main.cc calls them in this order.
//
//   read_program   objects, archives and the C library become one module                 (inputs.cc)
//   simplify       LLVM's own passes, no vectors, no target                              (pipeline.cc)
//   instrument     ../pass: points, frames, layout; from here the program has a signature  (pipeline.cc)
//   lower          a copy of it becomes an object file of one target                     (lower.cc)
//   assemble       that object, the runtime and libgcc become an executable              (assemble.cc, swap_words.cc)
//   same_addresses fails when two executables put something at different addresses       (assemble.cc)
//   pack           all executables and the script that starts the right one              (pack.cc)
#pragma once

#include <llvm/IR/Module.h>

#include <array>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "portable/compiler/targets.h"
#include "portable/compiler/told.h"

namespace godwit::portable {

namespace fs = std::filesystem;

struct LinkOptions {
  std::vector<std::string> inputs;          ///< objects and archives in the order of the command line; "-lNAME" too
  std::vector<std::string> library_folders;
  std::vector<const Target*> targets;
  fs::path output = "a.out";
  fs::path library;                         ///< Godwit's own: libc.bc, start.bc, libgodwit-runtime-*.a
  unsigned level = 2;                       ///< -O
  bool with_libcxx = false;                 ///< link the C++ library
  fs::path keep;                            ///< folder for what is made on the way; empty: a temporary one
  bool verbose = false;                     ///< tell how long the steps took
  bool report = false;                      ///< -fgodwit-report
  std::string report_file;                  ///< empty: standard output
  std::string explain;                      ///< write findings to this file instead of a program
  bool forget_lines = false;                ///< debug information is there for the report only
};

using Signature = std::array<uint8_t, 32>;

/// Who wants to know what the passes tell. `errors`: what they refuse is told, too, and isn't a failure.
struct Listener {
  Told* told = nullptr;
  bool errors = false;
  bool forget_lines = false;  ///< debug information is there for what is told only
};

/// `of_back_ends`: library functions that must be in it even though nothing calls them (libcalls.h). With `told` the program's own
/// functions are noted there.
Result<std::unique_ptr<llvm::Module>> read_program(const LinkOptions& options, llvm::LLVMContext& context,
                                                   std::set<std::string> of_back_ends, Told* told = nullptr);
/// The inputs alone, without the libraries.
Result<std::unique_ptr<llvm::Module>> read_own(const LinkOptions& options, llvm::LLVMContext& context);
Result<void> simplify(llvm::Module& module, unsigned level, const Listener& listener = {});
/// The module as all targets get it, the functions that have thunks in their order, and the signature of both.
struct Instrumented {
  std::string bitcode;
  std::vector<std::string> thunks;
  Signature signature{};
  uint64_t arena = 0, arena_size = 0;  ///< of the family's two places, see abi.h: the low one when a target is narrow
};
Result<Instrumented> instrument(llvm::Module& module, const Listener& listener = {});  // without the arena's place
/// Writes the object file. `name` is the program's, for messages. Reads the bitcode into a context of its own: any thread.
Result<void> lower(const Instrumented& program, std::string_view name, const Target& target, unsigned level,
                   const fs::path& object);
Result<void> assemble(const LinkOptions& options, const Target& target, const fs::path& object,
                      const fs::path& executable);
/// Turns over, in an executable of a big-endian target, what the linker wrote in that order into little-endian data.
Result<void> swap_words(const fs::path& executable);
Result<void> same_addresses(const std::vector<fs::path>& executables);
Result<void> pack(const std::vector<const Target*>& targets, const std::vector<fs::path>& executables,
                  const fs::path& output);

}  // namespace godwit::portable
