// What must be so before LLVM simplifies: no aliases, so that a call through one is seen as what it is.
//
// The C library has hundreds (weak_alias). A call of an alias counts as a call through a pointer in CallBase, so each would be
// taken for a place where a thread may stop.
#include <llvm/IR/Module.h>

#include "portable/pass/passes.h"

namespace godwit::portable {

llvm::PreservedAnalyses Prepare::run(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  for (auto& alias : llvm::make_early_inc_range(module.aliases())) {
    alias.replaceAllUsesWith(alias.getAliasee());
    auto* target = llvm::dyn_cast<llvm::GlobalObject>(alias.getAliasee()->stripPointerCasts());
    // The start code and the runtime look for names; an alias that is the only bearer of one hands it on.
    if (target && target->hasLocalLinkage() && alias.hasExternalLinkage()) {
      target->takeName(&alias);
      target->setLinkage(llvm::GlobalValue::ExternalLinkage);
    }
    alias.eraseFromParent();
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
