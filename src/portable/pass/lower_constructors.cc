// Constructors of static objects as ordinary calls.
//
// Each target has its own way to run what is in llvm.global_ctors before main (.init_array, and who calls it). Here they
// become calls in one neutral function, __godwit_constructors, which the C library's start code calls; so a thread may stop
// inside a constructor too. Destructors are registered by constructors (__cxa_atexit), those of C
// (__attribute__((destructor))) too: neutral-flags says so to clang.
#include <llvm/IR/Constants.h>

#include <algorithm>
#include <vector>

#include "portable/pass/passes.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

struct Entry {
  uint64_t priority;
  llvm::Function* function;
};

std::vector<Entry> take(llvm::Module& module, const char* list) {
  std::vector<Entry> entries;
  auto* variable = module.getNamedGlobal(list);
  if (!variable) return entries;
  if (const auto* array = llvm::dyn_cast<llvm::ConstantArray>(variable->getInitializer()))
    for (const auto& operand : array->operands()) {
      const auto* entry = llvm::cast<llvm::ConstantStruct>(operand);
      if (auto* function = llvm::dyn_cast<llvm::Function>(entry->getOperand(1)->stripPointerCasts()))
        entries.push_back({llvm::cast<llvm::ConstantInt>(entry->getOperand(0))->getZExtValue(), function});
    }
  variable->eraseFromParent();
  return entries;
}

void define(llvm::Module& module, const char* name, const std::vector<Entry>& entries) {
  auto& context = module.getContext();
  auto callee = module.getOrInsertFunction(name, llvm::Type::getVoidTy(context));
  auto* function = llvm::cast<llvm::Function>(callee.getCallee());
  if (!function->isDeclaration()) return;
  llvm::IRBuilder<> builder(llvm::BasicBlock::Create(context, "", function));
  for (const Entry& e : entries) builder.CreateCall(e.function);
  builder.CreateRetVoid();
  function->setLinkage(llvm::GlobalValue::InternalLinkage);
}

}  // namespace

llvm::PreservedAnalyses lower_constructors(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  auto constructors = take(module, "llvm.global_ctors");
  std::ranges::stable_sort(constructors, std::less(), &Entry::priority);
  define(module, "__godwit_constructors", constructors);
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
