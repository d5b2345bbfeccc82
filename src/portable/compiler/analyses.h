// The four managers of analyses that each pipeline of LLVM's needs, knowing each other.
#pragma once

#include <llvm/Passes/PassBuilder.h>

namespace godwit::portable {

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
