// What each of LLVM's pipelines needs: a level, and the four managers of analyses, knowing each other.
#pragma once

#include <llvm/Passes/PassBuilder.h>

namespace godwit::portable {

/// -O of the command line.
inline llvm::OptimizationLevel as_level(unsigned level) {
  switch (level) {
    case 0: return llvm::OptimizationLevel::O0;
    case 1: return llvm::OptimizationLevel::O1;
    case 2: return llvm::OptimizationLevel::O2;
    default: return llvm::OptimizationLevel::O3;
  }
}

struct Analyses {
  explicit Analyses(llvm::PassBuilder& builder) {
    builder.registerModuleAnalyses(of_modules);
    builder.registerCGSCCAnalyses(of_components);
    builder.registerFunctionAnalyses(of_functions);
    builder.registerLoopAnalyses(of_loops);
    builder.crossRegisterProxies(of_loops, of_functions, of_components, of_modules);
  }
  // Destroyed in the opposite order: the outer ones hold results of the inner ones.
  llvm::LoopAnalysisManager of_loops;
  llvm::FunctionAnalysisManager of_functions;
  llvm::CGSCCAnalysisManager of_components;
  llvm::ModuleAnalysisManager of_modules;
};

}  // namespace godwit::portable
