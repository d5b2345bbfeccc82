// Exceptions, and jumps, as a third and fourth value of the state word.
//
// Problem: a native unwinder reads tables of return addresses and registers, which differ on every target and know nothing of
// frames that were saved and restored; code in the middle of a catch or a destructor couldn't move.
//
// Idea: every call that may stop is followed by a look at the state word anyway. `throw` ends in __godwit_raise, which sets
// kThrowing; a call that sees it returns to its own caller at once, or goes to its landing pad:
//
//     invoke f() to normal unwind pad   →   call f(); state > kSaving ? → out : → normal
//                                           out: state == kThrowing ? → pad : → leave        (a jump isn't caught)
//     call f()                          →   call f(); state > kSaving ? → leave : → on
//     leave                             →   return
//     landingpad                        →   state = kRunning; selector = __godwit_land(its clauses);
//                                           no clause fits and it has no clean-up? → raise again, leave
//     resume v                          →   __godwit_raise(v's object), leave
//     llvm.eh.typeid.for(t)             →   the low 32 bits of t's address
//
// This is done after LLVM's simplification, which knows exceptions: what can't throw was found out by then. The look that
// build_frames puts after each call comes first; LLVM's jump threading then makes the two one, since behind the first the
// state is known. A catch block and a clean-up are ordinary code: a thread may stop there.
//
// What differs from the native way: an exception that nobody catches has run the clean-ups when std::terminate is called (the
// Itanium ABI leaves that open); a throw costs what its frames cost, without looking up tables: 10 to 30 times less.
//
// An exception specification with types (throw(A), gone since C++17) is a clause, too, whose selector is negative: __godwit_filter.
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>
#include <llvm/Transforms/Utils/Local.h>

#include <vector>

#include "portable/pass/frames.h"
#include "portable/pass/passes.h"

namespace godwit::portable {
namespace {

using llvm::BasicBlock;
using llvm::CallBase;
using llvm::CallInst;
using llvm::Function;
using llvm::IRBuilder;
using llvm::Value;

/// Which calls may come back with kThrowing or kJumping.
class MayLeave {
 public:
  explicit MayLeave(llvm::Module& module) : throws_(module, {kRaise}), jumps_(module, {kLongjmp}) {}

  [[nodiscard]] bool call(const CallBase& call) const {
    if (jumps_.call(call)) return true;
    const Function* callee = call.getCalledFunction();
    return throws_.call(call) && (!call.doesNotThrow() || (callee && callee->getName() == kRaise));
  }
  [[nodiscard]] bool jumps() const { return !jumps_.none(); }

 private:
  Reach throws_, jumps_;
};

class ExceptionLowering {
 public:
  ExceptionLowering(Function& function, const MayLeave& may_leave)
      : function_(function), module_(*function.getParent()), abi_(module_), may_leave_(may_leave) {}

  /// Whether anything changed.
  bool lower() {
    collect();
    // A personality alone would make the back end write a table.
    function_.setPersonalityFn(nullptr);
    if (pads_.empty() && invokes_.empty() && calls_.empty() && resumes_.empty()) return false;
    for (auto* call : calls_) lower_call(call);
    for (auto* resume : resumes_) lower_resume(resume);
    for (auto* invoke : invokes_) lower_invoke(invoke);
    for (auto* pad : pads_) lower_pad(pad);
    for (auto* typeid_for : typeids_) lower_typeid(typeid_for);
    drop_promises(function_);
    llvm::removeUnreachableBlocks(function_);
    return true;
  }

 private:
  void collect() {
    for (auto& block : function_) {
      if (auto* pad = block.getLandingPadInst()) pads_.push_back(pad);
      for (auto& i : block) {
        if (auto* invoke = llvm::dyn_cast<llvm::InvokeInst>(&i))
          invokes_.push_back(invoke);
        else if (auto* resume = llvm::dyn_cast<llvm::ResumeInst>(&i))
          resumes_.push_back(resume);
        else if (auto* intrinsic = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
                 intrinsic && intrinsic->getIntrinsicID() == llvm::Intrinsic::eh_typeid_for)
          typeids_.push_back(intrinsic);
        else if (auto* call = llvm::dyn_cast<CallInst>(&i); call && may_leave_.call(*call))
          calls_.push_back(call);
      }
    }
  }

  /// Where a function goes that hands on what its callee left with. The bottom of a stack says so and ends.
  BasicBlock* leave() {
    if (leave_) return leave_;
    leave_ = BasicBlock::Create(function_.getContext(), "leave", &function_);
    IRBuilder<> builder(leave_);
    if (function_.getName() == "__godwit_main" || function_.getName() == "__godwit_thread") {
      builder.CreateCall(module_.getOrInsertFunction("__godwit_left_all", builder.getVoidTy()));
    }
    return_left(builder);
    return leave_;
  }

  /// `before` ends in a call: goes to `out` when its state isn't that of a thread that goes on or is saved.
  void branch(BasicBlock* before, BasicBlock* out, BasicBlock* on, bool jumps_too = true) {
    IRBuilder<> builder(before);
    auto* state = abi_.load_state(builder);
    auto* left = jumps_too ? builder.CreateICmpUGT(state, builder.getInt32(kRestoring))
                           : builder.CreateICmpEQ(state, builder.getInt32(kThrowing));
    builder.CreateCondBr(left, out, on, unlikely(function_.getContext()));
  }

  void mark(CallInst* call) {
    drop_promises(*call);
    call->addFnAttr(llvm::Attribute::get(function_.getContext(), kLookedAfter));
  }

  /// lower_jumps.cc already looks for jumps behind the calls of a function with a setjmp.
  void lower_call(CallInst* call) {
    const bool jumps_too = !call->hasFnAttr(kLookedAfter);
    mark(call);
    BasicBlock* before = call->getParent();
    BasicBlock* on = llvm::SplitBlock(before, std::next(call->getIterator()));
    before->getTerminator()->eraseFromParent();
    branch(before, leave(), on, jumps_too);
  }

  void lower_invoke(llvm::InvokeInst* invoke) {
    IRBuilder<> builder(invoke);
    std::vector<Value*> arguments(invoke->arg_begin(), invoke->arg_end());
    auto* call = builder.CreateCall(invoke->getFunctionType(), invoke->getCalledOperand(), arguments);
    call->setCallingConv(invoke->getCallingConv());
    call->setAttributes(invoke->getAttributes());
    mark(call);
    invoke->replaceAllUsesWith(call);
    BasicBlock* from = invoke->getParent();
    BasicBlock* normal = invoke->getNormalDest();
    BasicBlock* pad = invoke->getUnwindDest();
    const bool may_leave = may_leave_.call(*call);
    invoke->eraseFromParent();
    if (!may_leave) {
      pad->removePredecessor(from, true);
      IRBuilder<>(from).CreateBr(normal);
    } else if (!may_leave_.jumps()) {
      branch(from, pad, normal);
    } else {
      auto* out = BasicBlock::Create(function_.getContext(), "out", &function_);
      pad->replacePhiUsesWith(from, out);
      branch(from, out, normal);
      IRBuilder<> at(out);
      at.CreateCondBr(at.CreateICmpEQ(abi_.load_state(at), at.getInt32(kThrowing)), pad, leave());
    }
  }

  llvm::FunctionCallee raise() {
    auto* nothing = llvm::Type::getVoidTy(function_.getContext());
    return module_.getOrInsertFunction(kRaise, nothing, abi_.pointer());
  }

  void raise_again(IRBuilder<>& builder, Value* object) {
    builder.CreateCall(raise(), {object});
    builder.CreateBr(leave());
  }

  void lower_resume(llvm::ResumeInst* resume) {
    IRBuilder<> builder(resume);
    raise_again(builder, builder.CreateExtractValue(resume->getValue(), 0));
    resume->eraseFromParent();
  }

  /// A call of `function` (of libcxx/eh.cpp) with a table of typeinfos.
  Value* ask(IRBuilder<>& builder, const char* function, llvm::ArrayRef<llvm::Constant*> types) {
    auto callee = module_.getOrInsertFunction(function, builder.getInt32Ty(), abi_.pointer(), builder.getInt64Ty());
    llvm::Constant* table = llvm::ConstantPointerNull::get(abi_.pointer());
    if (!types.empty()) {
      auto* type = llvm::ArrayType::get(abi_.pointer(), types.size());
      table = new llvm::GlobalVariable(module_, type, true, llvm::GlobalValue::InternalLinkage,
                                       llvm::ConstantArray::get(type, types), "clauses");
    }
    return builder.CreateCall(callee, {table, builder.getInt64(types.size())}, "selector");
  }

  /// The first clause that fits decides, and each question that is answered with yes leaves its mark in the exception: so the
  /// last clause is asked about first and an earlier one has the last word. Handlers in a row are one question.
  Value* select(IRBuilder<>& builder, llvm::LandingPadInst* pad) {
    Value* selector = builder.getInt32(0);
    const auto prefer = [&](Value* earlier) {
      selector = builder.CreateSelect(builder.CreateICmpNE(earlier, builder.getInt32(0)), earlier, selector);
    };
    std::vector<llvm::Constant*> types;
    for (unsigned k = pad->getNumClauses(); k-- > 0;) {
      if (pad->isCatch(k)) {
        types.insert(types.begin(), pad->getClause(k));
        if (k > 0 && pad->isCatch(k - 1)) continue;
        prefer(ask(builder, "__godwit_land", types));
      } else {
        const auto count = llvm::cast<llvm::ArrayType>(pad->getClause(k)->getType())->getNumElements();
        for (unsigned i = 0; i < count; ++i) types.push_back(pad->getClause(k)->getAggregateElement(i));
        prefer(builder.CreateNeg(ask(builder, "__godwit_filter", types)));
      }
      types.clear();
    }
    return selector;
  }

  void lower_pad(llvm::LandingPadInst* pad) {
    IRBuilder<> builder(pad);
    builder.CreateStore(builder.getInt32(kRunning), abi_.state());
    Value* selector = select(builder, pad);
    Value* object =
        builder.CreateCall(module_.getOrInsertFunction("__godwit_exception_object", abi_.pointer()), {}, "object");
    Value* both = builder.CreateInsertValue(llvm::PoisonValue::get(pad->getType()), object, 0);
    both = builder.CreateInsertValue(both, selector, 1);
    pad->replaceAllUsesWith(both);
    if (!pad->isCleanup()) {
      BasicBlock* here = pad->getParent();
      BasicBlock* caught = llvm::SplitBlock(here, pad->getIterator());
      here->getTerminator()->eraseFromParent();
      auto* again = BasicBlock::Create(function_.getContext(), "uncaught", &function_);
      IRBuilder<> at(here);
      at.CreateCondBr(at.CreateICmpEQ(selector, at.getInt32(0)), again, caught);
      at.SetInsertPoint(again);
      raise_again(at, object);
    }
    pad->eraseFromParent();
  }

  void lower_typeid(llvm::IntrinsicInst* intrinsic) {
    IRBuilder<> builder(intrinsic);
    auto* type = intrinsic->getArgOperand(0);
    Value* selector = llvm::isa<llvm::ConstantPointerNull>(type) ? static_cast<Value*>(builder.getInt32(1))
                                                                 : builder.CreatePtrToInt(type, builder.getInt32Ty());
    intrinsic->replaceAllUsesWith(selector);
    intrinsic->eraseFromParent();
  }

  Function& function_;
  llvm::Module& module_;
  Abi abi_;
  const MayLeave& may_leave_;
  std::vector<llvm::LandingPadInst*> pads_;
  std::vector<llvm::InvokeInst*> invokes_;
  std::vector<CallInst*> calls_;
  std::vector<llvm::ResumeInst*> resumes_;
  std::vector<llvm::IntrinsicInst*> typeids_;
  BasicBlock* leave_ = nullptr;
};

/// A function whose every way ends in a throw doesn't return, as LLVM has found out; from here on it does, and whoever removes
/// unreachable code must not believe otherwise.
void let_return(Function& function) {
  function.removeFnAttr(llvm::Attribute::NoReturn);
  for (auto& block : function)
    for (auto& i : block)
      if (auto* call = llvm::dyn_cast<CallBase>(&i)) call->removeFnAttr(llvm::Attribute::NoReturn);
}

/// Its body, written in C++, remembers the object; the state is set here, where LLVM's simplification can't conclude from it
/// that the function never throws.
void let_raise(Function& function) {
  function.removeFnAttr(llvm::Attribute::OptimizeNone);
  Abi abi(*function.getParent());
  for (auto& block : function)
    if (llvm::isa<llvm::ReturnInst>(block.getTerminator())) {
      IRBuilder<> builder(block.getTerminator());
      builder.CreateStore(builder.getInt32(kThrowing), abi.state());
    }
}

}  // namespace

llvm::PreservedAnalyses lower_exceptions(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  const MayLeave may_leave(module);
  std::vector<Function*> functions;
  for (Function& f : module)
    if (!f.isDeclaration()) functions.push_back(&f);
  for (Function& f : module) let_return(f);
  bool changed = false;
  for (Function* f : functions) changed |= ExceptionLowering(*f, may_leave).lower();
  if (Function* f = module.getFunction(kRaise); f && !f->isDeclaration()) let_raise(*f), changed = true;
  if (Function* f = module.getFunction(kLongjmp); f) f->removeFnAttr(llvm::Attribute::OptimizeNone);
  return changed ? llvm::PreservedAnalyses::none() : llvm::PreservedAnalyses::all();
}

}  // namespace godwit::portable
