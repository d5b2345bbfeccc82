#include "portable/pass/passes.h"

#include <llvm/Passes/PassPlugin.h>
#include <llvm/Transforms/IPO/GlobalDCE.h>

namespace godwit::portable {
namespace {

/// When a pass runs: before LLVM's simplification, after it, or for one target only.
enum class When { kBefore, kAfter, kTarget };

/// The table, in the order in which they run.
struct Row {
  const char* name;
  PassFunction* function;
  When when;
};
constexpr Row kRows[] = {{"godwit-prepare", prepare, When::kBefore},
                         {"godwit-lower-varargs", lower_varargs, When::kBefore},
                         {"godwit-lower-gotos", lower_gotos, When::kBefore},
                         {"godwit-lower-jumps", lower_jumps, When::kBefore},
                         {"godwit-lower-threads", lower_threads, When::kBefore},
                         {"godwit-lower-constructors", lower_constructors, When::kBefore},
                         {"godwit-lower-exceptions", lower_exceptions, When::kAfter},
                         {"godwit-place-points", place_points, When::kAfter},
                         {"godwit-check-allowed", check_allowed, When::kAfter},
                         {"godwit-build-frames", build_frames, When::kAfter},
                         {"godwit-lay-out", lay_out, When::kAfter},
                         {"godwit-adapt-big-endian", adapt_big_endian, When::kTarget},
                         {"godwit-adapt-narrow", adapt_narrow, When::kTarget}};

/// A row as LLVM wants it.
struct Pass : llvm::PassInfoMixin<Pass> {
  explicit Pass(PassFunction* what) : function(what) {}
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses) {
    return function(module, analyses);
  }
  /// Also on functions that ask not to be optimised.
  static bool isRequired() { return true; }  // NOLINT(readability-identifier-naming): LLVM looks for this name
  PassFunction* function;
};

}  // namespace

void add_lowering(llvm::ModulePassManager& passes) {
  for (const Row& row : kRows)
    if (row.when == When::kBefore) passes.addPass(Pass(row.function));
}

void add_instrumentation(llvm::ModulePassManager& passes) {
  for (const Row& row : kRows) {
    if (row.when != When::kAfter) continue;
    passes.addPass(Pass(row.function));
    if (row.function == lower_exceptions)
      passes.addPass(llvm::GlobalDCEPass());  // what only exceptions would have needed
  }
}

void register_passes(llvm::PassBuilder& builder) {
  builder.registerPipelineParsingCallback(
      [](llvm::StringRef name, llvm::ModulePassManager& passes, llvm::ArrayRef<llvm::PassBuilder::PipelineElement>) {
        for (const Row& row : kRows)
          if (name == row.name) return passes.addPass(Pass(row.function)), true;
        return false;
      });
}

}  // namespace godwit::portable

extern "C" LLVM_ATTRIBUTE_WEAK llvm::PassPluginLibraryInfo llvmGetPassPluginInfo() {
  return {LLVM_PLUGIN_API_VERSION, "godwit", "1", godwit::portable::register_passes};
}
