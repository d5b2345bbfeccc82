// The passes that make a program portable, in the order in which a module goes through them.
//
//   prepare            no aliases, no functions that don't return
//   lower_varargs      variable arguments become a buffer of 8-byte slots: va_list differs on every target
//   lower_gotos        labels as values become numbers, a computed goto a switch
//   lower_jumps        setjmp becomes edges of the control flow
//   lower_threads      thread-local variables become offsets from the thread pointer of neutral code
//   lower_constructors llvm.global_ctors becomes a function that __godwit_main calls
//     (LLVM's own simplification: inlining, SROA, LICM … on neutral IR, so that few values are in memory)
//   lower_exceptions   throwing, catching and jumping become values of the state word
//   place_points       adaptation points: where a thread may stop
//   build_frames       every function that may be on the stack at such a point learns to save and restore its frame
//   lay_out            thunks for functions whose address is taken; all globals into two sections
//
// Then the target's triple and data layout are set and its back end runs. The passes know no target. Each may be run alone,
// by its name, in `opt -load-pass-plugin godwit-passes.so -passes=godwit-…`: that is how they are tested (tests/portable/pass).
//
// Threads: none. Errors: what can't be carried is reported by LLVMContext::diagnose with severity DS_Error and the source
// line, when there is debug information; the pass then goes on with the rest, so that all such places are told at once.
#pragma once

#include <llvm/IR/PassManager.h>
#include <llvm/Passes/PassBuilder.h>

namespace godwit::portable {

/// What every pass here is: run also on functions that ask not to be optimised.
template <typename Pass>
struct ModulePass : llvm::PassInfoMixin<Pass> {
  static bool isRequired() { return true; }  // NOLINT(readability-identifier-naming): LLVM looks for this name
};

struct Prepare : ModulePass<Prepare> {
  static llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
};

struct LowerVarargs : ModulePass<LowerVarargs> {
  static llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
};

struct LowerGotos : ModulePass<LowerGotos> {
  static llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
};

struct LowerJumps : ModulePass<LowerJumps> {
  static llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
};

struct LowerThreads : ModulePass<LowerThreads> {
  static llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
};

struct LowerConstructors : ModulePass<LowerConstructors> {
  static llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
};

struct LowerExceptions : ModulePass<LowerExceptions> {
  static llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
};

struct PlacePoints : ModulePass<PlacePoints> {
  static llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
};

struct BuildFrames : ModulePass<BuildFrames> {
  static llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
};

/// `names`, when given, gets the names of the functions that have a thunk, in the order of their addresses.
struct LayOut : ModulePass<LayOut> {
  explicit LayOut(std::vector<std::string>* names = nullptr) : thunks(names) {}
  llvm::PreservedAnalyses run(llvm::Module& module, llvm::ModuleAnalysisManager& analyses) const;
  std::vector<std::string>* thunks;
};

/// Makes the passes known by their names: "godwit-lower-varargs" …
void register_passes(llvm::PassBuilder& builder);

/// The passes before LLVM's simplification, and those after it.
void add_lowering(llvm::ModulePassManager& passes);
void add_instrumentation(llvm::ModulePassManager& passes, std::vector<std::string>* thunks);

}  // namespace godwit::portable
