// Variables that live in memory, moved from the native stack to the thread's stack in the arena.
//
// Problem: a variable whose address is taken may be pointed at from anywhere, so it must lie at the same address on every
// machine; the native stack doesn't.
//
// Idea: after LLVM's simplification few such variables are left. They get fixed offsets from the value that __godwit_sp had at
// the function's entry. When the function is entered again to be restored, __godwit_sp has the same value as then (its
// callers have moved it up by the same amounts), so the addresses are computed again, not saved. An alloca of variable
// size, also a VLA, takes its room from the top; llvm.stacksave and stackrestore read and write __godwit_sp itself.
//
// Limits: variables of which only one is alive at a time don't share room (their lifetime markers are dropped).
#include <llvm/IR/IntrinsicInst.h>

#include "portable/pass/frames.h"

namespace godwit::portable {
namespace {

using llvm::Align;
using llvm::AllocaInst;
using llvm::IRBuilder;
using llvm::Value;

constexpr uint64_t kStackAlign = 16;  // of __godwit_sp, see abi.h

struct Variables {
  std::vector<AllocaInst*> fixed, dynamic;
  std::vector<llvm::IntrinsicInst*> saves, restores;
};

Variables collect(llvm::Function& function) {
  Variables found;
  for (auto& block : function)
    for (auto& i : llvm::make_early_inc_range(block)) {
      if (auto* variable = llvm::dyn_cast<AllocaInst>(&i))
        (variable->isStaticAlloca() ? found.fixed : found.dynamic).push_back(variable);
      auto* intrinsic = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
      if (!intrinsic) continue;
      if (intrinsic->isLifetimeStartOrEnd())
        intrinsic->eraseFromParent();
      else if (intrinsic->getIntrinsicID() == llvm::Intrinsic::stacksave)
        found.saves.push_back(intrinsic);
      else if (intrinsic->getIntrinsicID() == llvm::Intrinsic::stackrestore)
        found.restores.push_back(intrinsic);
    }
  return found;
}

Value* round_up(IRBuilder<>& builder, Value* pointer, Align align) {
  auto* i64 = builder.getInt64Ty();
  auto* up = builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), pointer, align.value() - 1);
  return builder.CreateIntrinsic(llvm::Intrinsic::ptrmask, {up->getType(), i64},
                                 {up, builder.getInt64(-align.value())});
}

void replace_fixed(const std::vector<AllocaInst*>& variables, Value* base, IRBuilder<>& builder, Abi& abi) {
  const auto& layout = variables.front()->getModule()->getDataLayout();
  Align most(kStackAlign);
  for (const auto* v : variables) most = std::max(most, v->getAlign());
  Value* start = most > Align(kStackAlign) ? round_up(builder, base, most) : base;
  uint64_t size = 0;
  for (AllocaInst* v : variables) {
    size = llvm::alignTo(size, v->getAlign());
    auto* address = builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), start, size, v->getName());
    v->replaceAllUsesWith(address);
    size += v->getAllocationSize(layout)->getFixedValue();
    v->eraseFromParent();
  }
  size = llvm::alignTo(size, kStackAlign);
  builder.CreateStore(builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), start, size), abi.stack_pointer());
}

void replace_dynamic(AllocaInst* variable, Abi& abi) {
  IRBuilder<> builder(variable);
  const auto& layout = variable->getModule()->getDataLayout();
  auto* i64 = builder.getInt64Ty();
  Value* top = builder.CreateLoad(abi.pointer(), abi.stack_pointer());
  const Align align = std::max(variable->getAlign(), Align(kStackAlign));
  Value* start = align > Align(kStackAlign) ? round_up(builder, top, align) : top;
  Value* size = builder.CreateMul(builder.CreateZExtOrTrunc(variable->getArraySize(), i64),
                                  builder.getInt64(layout.getTypeAllocSize(variable->getAllocatedType())));
  size = builder.CreateAnd(builder.CreateAdd(size, builder.getInt64(kStackAlign - 1)), builder.getInt64(-kStackAlign));
  builder.CreateStore(builder.CreateGEP(builder.getInt8Ty(), start, size), abi.stack_pointer());
  variable->replaceAllUsesWith(start);
  variable->eraseFromParent();
}

}  // namespace

ArenaFrame move_variables(llvm::Function& function, Abi& abi, llvm::Instruction* entry_end) {
  const Variables variables = collect(function);
  ArenaFrame frame;
  if (variables.fixed.empty() && variables.dynamic.empty() && variables.saves.empty()) return frame;
  frame.dynamic = !variables.dynamic.empty();
  IRBuilder<> builder(entry_end);
  frame.base = builder.CreateLoad(abi.pointer(), abi.stack_pointer(), "godwit.base");
  if (!variables.fixed.empty()) replace_fixed(variables.fixed, frame.base, builder, abi);
  for (auto* v : variables.dynamic) replace_dynamic(v, abi);
  for (auto* i : variables.saves) {
    IRBuilder<> at(i);
    i->replaceAllUsesWith(at.CreateLoad(abi.pointer(), abi.stack_pointer()));
    i->eraseFromParent();
  }
  for (auto* i : variables.restores) {
    IRBuilder<> at(i);
    at.CreateStore(i->getArgOperand(0), abi.stack_pointer());
    i->eraseFromParent();
  }
  for (auto& block : function)
    if (llvm::isa<llvm::ReturnInst>(block.getTerminator()))
      IRBuilder<>(block.getTerminator()).CreateStore(frame.base, abi.stack_pointer());
  return frame;
}

}  // namespace godwit::portable
