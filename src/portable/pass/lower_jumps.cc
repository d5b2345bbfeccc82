// setjmp as edges of the control flow.
//
// What setjmp and longjmp do is in libc/jump.c. Here a function that calls setjmp is rewritten, before LLVM simplifies:
//
//     entry:      activation = __godwit_new_activation()
//     setjmp k:   buffer[0] = activation; buffer[1] = k → behind k
//     behind k:   result = phi (0, the jump's value)
//     each call:  state == kJumping ? → jumped : → on
//     jumped:     is the jump's activation mine? → state = kRunning; switch (its site) k: → behind k
//                 else → return: a caller's
//
// After that nothing returns twice: LLVM sees every way on which `behind k` is reached, and variables that were changed
// since the setjmp have their newest values there, which C allows for all and asks for volatile ones.
//
// The activation is one value of the function, so it doesn't matter which of its buffers is used, or how often a site was
// passed. A jump to a function that has returned (undefined in C) ends at the bottom of the stack with a message.
//
// Functions without a setjmp learn to hand a jump on in lower_exceptions.cc, after the simplification. Nothing is inlined into
// a function with one, nor the function elsewhere: a jump that passes must come back into its callers' looks.
//
// Limits: no setjmp in a C++ function that has a try block or objects to destroy.
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

#include <algorithm>
#include <vector>

#include "portable/pass/passes.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

using llvm::BasicBlock;
using llvm::CallInst;
using llvm::IRBuilder;
using llvm::Value;

bool is_setjmp(const llvm::CallBase& call) {
  const auto* callee = call.getCalledFunction();
  if (!callee) return false;
  const auto name = callee->getName();
  return name == "setjmp" || name == "_setjmp" || name == "sigsetjmp" || name == "__sigsetjmp";
}

bool has_invoke(const llvm::Function& function) {
  return std::ranges::any_of(function,
                             [](const BasicBlock& b) { return llvm::isa<llvm::InvokeInst>(b.getTerminator()); });
}

class JumpLowering {
 public:
  JumpLowering(llvm::Function& function, std::vector<CallInst*> sites)
      : function_(function), module_(*function.getParent()), abi_(module_), sites_(std::move(sites)) {}

  void lower() {
    auto& context = function_.getContext();
    auto* i64 = llvm::Type::getInt64Ty(context);
    IRBuilder<> entry(&function_.getEntryBlock(), function_.getEntryBlock().getFirstNonPHIOrDbgOrAlloca());
    activation_ = entry.CreateCall(module_.getOrInsertFunction("__godwit_new_activation", i64), {}, "activation");
    make_jumped();
    for (size_t k = 0; k < sites_.size(); ++k) lower_site(sites_[k], k);
    for (CallInst* call : calls_that_may_jump()) look_after(call);
    function_.removeFnAttr(llvm::Attribute::ReturnsTwice);
    function_.removeFnAttr(llvm::Attribute::AlwaysInline);
    function_.addFnAttr(llvm::Attribute::NoInline);
  }

 private:
  Value* target(IRBuilder<>& builder, uint64_t offset, llvm::Type* type) {
    auto* jump = module_.getNamedGlobal("godwit_jump");
    auto* address = builder.CreateThreadLocalAddress(jump);
    return builder.CreateLoad(type, builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), address, offset));
  }

  void make_jumped() {
    auto& context = function_.getContext();
    jumped_ = BasicBlock::Create(context, "jumped", &function_);
    auto* mine = BasicBlock::Create(context, "jumped.here", &function_);
    auto* callers = BasicBlock::Create(context, "jumped.further", &function_);
    IRBuilder<> builder(jumped_);
    auto* is_mine = builder.CreateICmpEQ(target(builder, 0, builder.getInt64Ty()), activation_);
    builder.CreateCondBr(is_mine, mine, callers);
    builder.SetInsertPoint(callers);
    return_left(builder);
    builder.SetInsertPoint(mine);
    builder.CreateStore(builder.getInt32(kRunning), abi_.state());
    value_ = target(builder, 16, builder.getInt32Ty());
    which_ =
        builder.CreateSwitch(target(builder, 8, builder.getInt64Ty()), callers, static_cast<unsigned>(sites_.size()));
  }

  void lower_site(CallInst* call, size_t number) {
    BasicBlock* before = call->getParent();
    BasicBlock* behind = llvm::SplitBlock(before, std::next(call->getIterator()));
    behind->setName("behind");
    IRBuilder<> builder(call);
    Value* buffer = call->getArgOperand(0);
    builder.CreateStore(activation_, buffer);
    builder.CreateStore(builder.getInt64(number), builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), buffer, 8));
    if (call->arg_size() > 1)
      builder.CreateCall(module_.getOrInsertFunction("__godwit_keep_mask", builder.getVoidTy(), buffer->getType(),
                                                     builder.getInt32Ty()),
                         {buffer, call->getArgOperand(1)});
    builder.SetInsertPoint(behind, behind->begin());
    auto* result = builder.CreatePHI(call->getType(), 2, "result");
    result->addIncoming(builder.getInt32(0), before);
    result->addIncoming(value_, which_->getParent());
    which_->addCase(builder.getInt64(number), behind);
    call->replaceAllUsesWith(result);
    call->eraseFromParent();
  }

  std::vector<CallInst*> calls_that_may_jump() const {
    std::vector<CallInst*> calls;
    for (auto& block : function_)
      for (auto& i : block)
        if (auto* call = llvm::dyn_cast<CallInst>(&i))
          if (!llvm::isa<llvm::IntrinsicInst>(call) && !call->isInlineAsm() && call != activation_)
            calls.push_back(call);
    return calls;
  }

  void look_after(CallInst* call) {
    call->setTailCallKind(CallInst::TCK_NoTail);
    call->addFnAttr(llvm::Attribute::NoInline);
    call->addFnAttr(llvm::Attribute::get(function_.getContext(), kLookedAfter));
    BasicBlock* before = call->getParent();
    BasicBlock* on = llvm::SplitBlock(before, std::next(call->getIterator()));
    auto* terminator = before->getTerminator();
    IRBuilder<> builder(terminator);
    auto* jumping = builder.CreateICmpEQ(abi_.load_state(builder), builder.getInt32(kJumping));
    builder.CreateCondBr(jumping, jumped_, on, unlikely(function_.getContext()));
    terminator->eraseFromParent();
  }

  llvm::Function& function_;
  llvm::Module& module_;
  Abi abi_;
  std::vector<CallInst*> sites_;
  CallInst* activation_ = nullptr;
  BasicBlock* jumped_ = nullptr;
  Value* value_ = nullptr;
  llvm::SwitchInst* which_ = nullptr;
};

}  // namespace

llvm::PreservedAnalyses lower_jumps(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  for (auto& function : module) {
    std::vector<CallInst*> sites;
    const llvm::CallBase* first = nullptr;
    for (auto& block : function)
      for (auto& i : block) {
        const auto* call = llvm::dyn_cast<llvm::CallBase>(&i);
        if (!call || !is_setjmp(*call)) continue;
        if (!first) first = call;
        if (auto* plain = llvm::dyn_cast<CallInst>(&i))
          sites.push_back(plain);  // else an invoke: among objects to destroy
      }
    if (!first) continue;
    if (function.hasPersonalityFn() && has_invoke(function))
      refuse(*first, "setjmp in a function with a try block or objects to destroy isn't carried");
    else
      JumpLowering(function, std::move(sites)).lower();
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
