// Values that are computed again after a call rather than saved across it.
//
// Problem: a frame holds each value that is live across its call, and each such value becomes a phi where the restored one meets
// the computed one. LLVM's simplification likes to compute early what is cheap: in a function with one large loop, the
// addresses of all fields that are used in it (`getelementptr p, 40`) wait for their use across every call. In SQLite's
// interpreter that were 280 values at each of 480 calls, and a back end took minutes over them.
//
// Idea: an operation with one operand that isn't constant, and that costs no more than an addition, is done again in each
// block that uses it; then only its operand lives that long, which mostly does so anyway. Where no call is between, the
// target's own simplification finds that both are the same and keeps one.
#include <llvm/ADT/PostOrderIterator.h>
#include <llvm/ADT/STLExtras.h>
#include <llvm/IR/CFG.h>

#include <optional>

#include "portable/pass/frames.h"

namespace godwit::portable {
namespace {

using llvm::BasicBlock;
using llvm::Instruction;
using llvm::Value;

bool is_cheap(const Instruction& i) {
  if (const auto* binary = llvm::dyn_cast<llvm::BinaryOperator>(&i)) {
    if (!i.getType()->isIntegerTy() || i.getType()->getIntegerBitWidth() > 64) return false;
    switch (binary->getOpcode()) {
      case Instruction::Add:
      case Instruction::Sub:
      case Instruction::And:
      case Instruction::Or:
      case Instruction::Xor:
      case Instruction::Shl:
      case Instruction::LShr:
      case Instruction::AShr: return true;
      default: return false;
    }
  }
  if (i.getType()->isVectorTy()) return false;
  if (const auto* cast = llvm::dyn_cast<llvm::CastInst>(&i))
    return cast->getSrcTy()->isIntOrPtrTy() && cast->getDestTy()->isIntOrPtrTy();
  return llvm::isa<llvm::GetElementPtrInst>(i) ||
         (llvm::isa<llvm::ICmpInst>(i) && !i.getOperand(0)->getType()->isVectorTy());
}

/// The one value that it can be had from; null, when constants are enough; nothing, when it takes several. Values of the entry
/// block count as constants: they are computed again when a frame is restored.
std::optional<Value*> derived_from(const Instruction& i) {
  if (!is_cheap(i)) return std::nullopt;
  Value* from = nullptr;
  for (Value* operand : i.operands()) {
    const auto* instruction = llvm::dyn_cast<Instruction>(operand);
    if (llvm::isa<llvm::Constant>(operand) || operand == from) continue;
    if (instruction && instruction->getParent()->isEntryBlock()) continue;
    if (from) return std::nullopt;
    from = operand;
  }
  return from;
}

class Rematerialiser {
 public:
  explicit Rematerialiser(const std::vector<CallSite>& sites) {
    for (const auto& site : sites) {
      live_.insert(site.live.begin(), site.live.end());
      before_[site.block] = site.block->getSinglePredecessor();
    }
  }

  void run(llvm::Function& function) {
    // Users before what they use: a chain is done again as a whole.
    for (BasicBlock* block : llvm::post_order(&function))
      for (auto& i : llvm::make_early_inc_range(llvm::reverse(*block)))
        if (live_.contains(&i))
          if (const auto from = derived_from(i)) {
            if (*from) live_.insert(*from);
            do_again_where_used(i);
          }
  }

 private:
  void do_again_where_used(Instruction& value) {
    llvm::DenseMap<BasicBlock*, Instruction*> copies;
    for (auto& use : llvm::make_early_inc_range(value.uses())) {
      auto* user = llvm::cast<Instruction>(use.getUser());
      auto* phi = llvm::dyn_cast<llvm::PHINode>(user);
      BasicBlock* block = phi ? phi->getIncomingBlock(use) : user->getParent();
      // A call's own block is entered again by a restored frame, which holds what it needs in that block.
      if (const auto it = before_.find(block); it != before_.end()) block = it->second;
      if (block == value.getParent()) continue;
      Instruction*& copy = copies[block];
      if (!copy) {
        copy = value.clone();
        copy->setName(value.getName());
        copy->insertBefore(*block, block->getFirstInsertionPt());  // before all that uses it there, copies of users too
      }
      use.set(copy);
    }
    if (value.use_empty()) value.eraseFromParent();
  }

  llvm::DenseSet<const Value*> live_;
  llvm::DenseMap<const BasicBlock*, BasicBlock*> before_;
};

}  // namespace

void rematerialise(llvm::Function& function, const std::vector<CallSite>& sites) {
  Rematerialiser(sites).run(function);
}

}  // namespace godwit::portable
