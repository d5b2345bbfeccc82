#include "portable/pass/passes.h"

#include <llvm/Passes/PassPlugin.h>
#include <llvm/Transforms/IPO/GlobalDCE.h>

namespace godwit::portable {

void add_lowering(llvm::ModulePassManager& passes) {
  passes.addPass(Prepare());
  passes.addPass(LowerVarargs());
  passes.addPass(LowerGotos());
  passes.addPass(LowerJumps());
  passes.addPass(LowerThreads());
  passes.addPass(LowerConstructors());
}

void add_instrumentation(llvm::ModulePassManager& passes, std::vector<std::string>* thunks) {
  passes.addPass(LowerExceptions());
  passes.addPass(llvm::GlobalDCEPass());  // what only exceptions would have needed
  passes.addPass(PlacePoints());
  passes.addPass(BuildFrames());
  passes.addPass(LayOut(thunks));
}

namespace {

// The table of names. To add a pass: a struct in passes.h, a file, a row here, its place above, a test in tests/portable/pass.
bool add_by_name(llvm::StringRef name, llvm::ModulePassManager& passes) {
  if (name == "godwit-prepare") return passes.addPass(Prepare()), true;
  if (name == "godwit-lower-varargs") return passes.addPass(LowerVarargs()), true;
  if (name == "godwit-lower-gotos") return passes.addPass(LowerGotos()), true;
  if (name == "godwit-lower-jumps") return passes.addPass(LowerJumps()), true;
  if (name == "godwit-lower-exceptions") return passes.addPass(LowerExceptions()), true;
  if (name == "godwit-lower-threads") return passes.addPass(LowerThreads()), true;
  if (name == "godwit-lower-constructors") return passes.addPass(LowerConstructors()), true;
  if (name == "godwit-place-points") return passes.addPass(PlacePoints()), true;
  if (name == "godwit-build-frames") return passes.addPass(BuildFrames()), true;
  if (name == "godwit-lay-out") return passes.addPass(LayOut()), true;
  return false;
}

}  // namespace

void register_passes(llvm::PassBuilder& builder) {
  builder.registerPipelineParsingCallback(
      [](llvm::StringRef name, llvm::ModulePassManager& passes, llvm::ArrayRef<llvm::PassBuilder::PipelineElement>) {
        return add_by_name(name, passes);
      });
}

}  // namespace godwit::portable

extern "C" LLVM_ATTRIBUTE_WEAK llvm::PassPluginLibraryInfo llvmGetPassPluginInfo() {
  return {LLVM_PLUGIN_API_VERSION, "godwit", "1", godwit::portable::register_passes};
}
