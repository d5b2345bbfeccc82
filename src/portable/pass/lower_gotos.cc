// Labels as values, without addresses of code.
//
// `&&label` is an address in one target's code; a table of them, or one in a variable, can't move. Here each label whose
// address is taken becomes a small number that is its function's own, and `goto *p` a switch over them. A label's
// value is never 0, so that a null pointer stays none.
#include <llvm/IR/Constants.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Module.h>

#include "portable/pass/passes.h"

namespace godwit::portable {
namespace {

using llvm::BasicBlock;

/// Numbers the labels, in the order of the blocks, and replaces their addresses.
std::vector<BasicBlock*> number_labels(llvm::Function& function) {
  std::vector<BasicBlock*> labels;
  for (auto& block : function) {
    if (!block.hasAddressTaken()) continue;
    auto* address = llvm::BlockAddress::lookup(&block);
    if (!address) continue;
    labels.push_back(&block);
    auto* number = llvm::ConstantInt::get(llvm::Type::getInt64Ty(function.getContext()), labels.size());
    address->replaceAllUsesWith(llvm::ConstantExpr::getIntToPtr(number, address->getType()));
    address->destroyConstant();
  }
  return labels;
}

void lower(llvm::IndirectBrInst* jump, const std::vector<BasicBlock*>& labels) {
  auto& context = jump->getContext();
  auto* function = jump->getFunction();
  BasicBlock* from = jump->getParent();
  auto* never = BasicBlock::Create(context, "goto.never", function);
  new llvm::UnreachableInst(context, never);
  llvm::IRBuilder<> builder(jump);
  auto* number = builder.CreatePtrToInt(jump->getAddress(), builder.getInt64Ty());
  auto* choice = builder.CreateSwitch(number, never, static_cast<unsigned>(labels.size()));
  llvm::SmallPtrSet<BasicBlock*, 16> targets;
  for (unsigned i = 0; i < jump->getNumDestinations(); ++i) {
    BasicBlock* target = jump->getDestination(i);
    // A phi of a label has one entry for each way in: the switch has one way to it.
    if (!targets.insert(target).second) target->removePredecessor(from, true);
  }
  for (unsigned i = 0; i < labels.size(); ++i)
    if (targets.contains(labels[i])) choice->addCase(builder.getInt64(i + 1), labels[i]);
  jump->eraseFromParent();
}

}  // namespace

llvm::PreservedAnalyses lower_gotos(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  for (auto& function : module) {
    if (function.isDeclaration()) continue;
    const auto labels = number_labels(function);
    for (auto& block : llvm::make_early_inc_range(function))
      if (auto* jump = llvm::dyn_cast<llvm::IndirectBrInst>(block.getTerminator())) lower(jump, labels);
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
