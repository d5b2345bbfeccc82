// LLVM's simplification, then Godwit's passes, on the one neutral module.
//
// Vectors and everything that asks a processor's cost model are left to the targets' own pipelines (lower.cc): here the cost
// model is LLVM's generic one. The signature covers the module as it is after the last pass, so two builds of the same
// source by the same compiler agree and everything else differs.
#include <fmt/format.h>
#include <llvm/Bitcode/BitcodeWriter.h>
#include <llvm/IR/DebugInfo.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/SHA256.h>
#include <llvm/Transforms/IPO/GlobalDCE.h>
#include <llvm/Transforms/IPO/Internalize.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/DeadStoreElimination.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/GVN.h>
#include <llvm/Transforms/Scalar/JumpThreading.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>

#include "portable/compiler/analyses.h"
#include "portable/compiler/libcalls.h"
#include "portable/compiler/link.h"
#include "portable/pass/passes.h"

namespace godwit::portable {
namespace {

/// Runs what `fill` adds, with the analyses of LLVM's generic target.
Result<void> run(llvm::Module& module, const Listener& listener,
                 const std::function<void(llvm::PassBuilder&, llvm::ModulePassManager&)>& fill) {
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  tuning.LoopInterleaving = false;
  llvm::PassBuilder builder(nullptr, tuning);
  Analyses analyses(builder);
  llvm::ModulePassManager passes;
  fill(builder, passes);
  auto handler = std::make_unique<Diagnostics>(listener.told, listener.errors);
  auto* diagnostics = handler.get();
  auto before = module.getContext().getDiagnosticHandler();
  module.getContext().setDiagnosticHandler(std::move(handler));
  passes.run(module, analyses.of_modules);
  const unsigned errors = diagnostics->errors();
  module.getContext().setDiagnosticHandler(std::move(before));
  if (errors && !listener.errors)
    return fail(Code::kRefused, fmt::format("{} place{} can't be carried to another machine (see above)", errors,
                                            errors == 1 ? "" : "s"));
  std::string trouble;
  llvm::raw_string_ostream stream(trouble);
  if (llvm::verifyModule(module, &stream))
    return fail(Code::kFailed, "a pass of godwit cc made wrong code, please report it:\n" + trouble);
  return {};
}

/// Once for all targets, behind the instrumentation: the looks at the state word that follow each other become one, and what
/// was only needed for phis goes. No pass here adds a global or moves what the layout has fixed.
llvm::FunctionPassManager tidying() {
  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SimplifyCFGPass());
  passes.addPass(llvm::EarlyCSEPass(true));
  passes.addPass(llvm::JumpThreadingPass());
  passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::GVNPass());
  passes.addPass(llvm::DSEPass());
  passes.addPass(llvm::SimplifyCFGPass());
  return passes;
}

/// As if the sources had been compiled without -g.
void forget_lines(llvm::Module& module) {
  llvm::StripDebugInfo(module);
  auto* flags = module.getModuleFlagsMetadata();
  if (!flags) return;
  std::vector<llvm::MDNode*> kept;
  for (auto* flag : flags->operands()) {
    const auto* key = llvm::cast<llvm::MDString>(flag->getOperand(1));
    if (key->getString() != "Debug Info Version" && key->getString() != "Dwarf Version") kept.push_back(flag);
  }
  flags->clearOperands();
  for (auto* flag : kept) flags->addOperand(flag);
}

}  // namespace

Result<void> simplify(llvm::Module& module, unsigned level, const Listener& listener) {
  return run(module, listener, [&](llvm::PassBuilder& builder, llvm::ModulePassManager& passes) {
    add_lowering(passes);
    passes.addPass(llvm::GlobalDCEPass());
    passes.addPass(level == 0 ? builder.buildO0DefaultPipeline(as_level(level))
                              : builder.buildPerModuleDefaultPipeline(as_level(level)));
  });
}

Result<Instrumented> instrument(llvm::Module& module, const Listener& listener) {
  llvm::internalizeModule(module, [&](const llvm::GlobalValue& v) {
    return stays_visible(v.getName(), Stage::kLower) ||
           (listener.told && listener.told->all && listener.told->own.contains(v.getName().str()));
  });
  TRY_DO(run(module, listener, [&](llvm::PassBuilder&, llvm::ModulePassManager& passes) {
    add_instrumentation(passes);
    passes.addPass(llvm::createModuleToFunctionPassAdaptor(tidying()));
  }));
  if (listener.forget_lines) forget_lines(module);
  Instrumented result;
  result.thunks = functions_with_thunks(module);
  llvm::raw_string_ostream stream(result.bitcode);
  llvm::WriteBitcodeToFile(module, stream);
  llvm::SHA256 hash;
  hash.update(llvm::StringRef(result.bitcode));
  result.signature = hash.final();
  return result;
}

}  // namespace godwit::portable
