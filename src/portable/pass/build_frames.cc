// Functions learn to save and restore their frames.
//
// Problem: a thread must stop anywhere between two instructions of neutral code, leave nothing on the native stack, and go on
// on a machine whose native stack looks different.
//
// What others do: unwinding by stack maps and building foreign frames (Popcorn, Unifico) costs nothing while the program runs,
// but needs a back end for each target that can say where every value lies. Asyncify (Binaryen) needs nothing of the
// target; its cost comes from being applied to code that isn't optimised afterwards.
//
// Idea: Asyncify's, on SSA form, between LLVM's simplification and its back end. A function that may be on the stack while a
// thread stops becomes
//
//     entry:      addresses of its variables in the arena            (arena_frame.cc)
//                 request != 0 ? → asked : → body
//     asked:      state == kRestoring ? → restore : → body           (or → the point that the body begins with)
//     body:       …
//     call k:     r = callee(arguments)                              (alone in its block: call_sites.cc)
//                 state == kRunning ? → after k : → save k           (one load, one branch that is never taken)
//     after k:    …
//     save k:     → save
//     save:       site = phi(k …); value = phi(what lies in this slot at k …)
//                 frame = __godwit_save(size, site); frame[…] = values; sp = base; return poison
//     restore:    frame = __godwit_pop(); values = frame[…]; switch (frame[0])  k: → restore k
//     restore k:  → call k, with poison for what only the callee needs: it restores itself
//
// One save block and one restore block serve all sites: a value has the same place in the frame at each (frame_slots.cc). The
// back end makes a phi of many ways and its operands one register or stack slot, so `save k` is mostly two instructions: the
// number, a jump.
//
// While a thread is restored, the request word isn't 0 (the runtime counts such threads in it): so one look serves restoring and a point
// at the begin of a recursive function, and it is at a plain word, shorter than a thread's own on every processor.
//
// The innermost call is __godwit_poll or a system call: the runtime sets kSaving there and returns, and when it is called
// again from `restore k` it sets kRunning. So a frame is restored in full before the next inner one is entered.
//
// `restore k` is a second way into `call k`, so values that were computed on the first way don't dominate their uses any
// more: each value that is live across a call (or is an operand of one) is made a variable with several definitions and
// SSAUpdaterBulk puts phis where they meet. Values of the entry block (addresses in the arena) are computed on both ways.
//
// A frame: u64 number of the call site, then the slots, each aligned to at most 16, as the neutral data layout stores them.
// The numbers are those of one build: an image fits only the program with the same signature.
//
// Limits: no musttail. Loops with a call site get a second entry, so LLVM's loop passes leave them alone
// from here on: that is why this runs after simplification and after place_points.
#include <llvm/Analysis/CFG.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>
#include <llvm/Transforms/Utils/Local.h>
#include <llvm/Transforms/Utils/SSAUpdaterBulk.h>

#include "portable/pass/frames.h"
#include "portable/pass/passes.h"

namespace godwit::portable {
namespace {

using llvm::BasicBlock;
using llvm::Function;
using llvm::IRBuilder;
using llvm::Value;

class FrameBuilder {
 public:
  FrameBuilder(Function& function, Abi& abi, const MayStop& may_stop)
      : function_(function), abi_(abi), may_stop_(may_stop) {}

  void build() {
    llvm::removeUnreachableBlocks(function_);
    BasicBlock* entry = &function_.getEntryBlock();
    split_entry(entry);
    arena_ = move_variables(function_, abi_, entry->getTerminator());
    sites_ = isolate_calls(function_, may_stop_);
    drop_promises(function_);
    if (sites_.empty()) return;
    find_live(function_, sites_);
    rematerialise(function_, sites_);
    find_live(function_, sites_);
    layout_ = lay_out_frame(sites_, function_.getParent()->getDataLayout(), arena_.dynamic);
    make_save();
    make_restore(entry);
    for (unsigned k = 0; k < sites_.size(); ++k) add_site(sites_[k], k);
    repair(entry);
  }

 private:
  /// The entry block keeps its variables; everything else goes to a block that a restored function doesn't run.
  void split_entry(BasicBlock* entry) {
    auto* first = &*entry->getFirstNonPHIOrDbgOrAlloca();
    llvm::SplitBlock(entry, first->getIterator());
    // A fixed variable that the front end put further down is still fixed.
    for (auto& i : llvm::make_early_inc_range(*entry->getSingleSuccessor()))
      if (auto* v = llvm::dyn_cast<llvm::AllocaInst>(&i); v && llvm::isa<llvm::ConstantInt>(v->getArraySize()))
        v->moveBefore(entry->getTerminator());
  }

  /// The one block that saves a frame, whatever the site. Its phis say where: add_site fills them.
  void make_save() {
    save_ = BasicBlock::Create(function_.getContext(), "save", &function_);
    IRBuilder<> builder(save_);
    const auto ways = static_cast<unsigned>(sites_.size());
    number_ = builder.CreatePHI(builder.getInt64Ty(), ways, "site");
    for (const FrameSlot& slot : layout_.slots) saved_.push_back(builder.CreatePHI(slot.type, ways));
    Value* frame = builder.CreateCall(abi_.save(), {builder.getInt64(layout_.size), number_});
    for (const auto& [slot, value] : llvm::zip_equal(layout_.slots, saved_))
      builder.CreateAlignedStore(value, at(builder, frame, slot.offset), align_at(slot.offset));
    if (layout_.stack_pointer != 0)
      builder.CreateStore(builder.CreateLoad(abi_.pointer(), abi_.stack_pointer()),
                          at(builder, frame, layout_.stack_pointer));
    if (arena_.base) builder.CreateStore(arena_.base, abi_.stack_pointer());
    auto* type = function_.getReturnType();
    if (type->isVoidTy())
      builder.CreateRetVoid();
    else
      builder.CreateRet(llvm::PoisonValue::get(type));
  }

  /// The branch of a point that the function begins with: its look is the one that there would be anyway.
  llvm::BranchInst* first_point(BasicBlock* body) {
    auto* branch = llvm::dyn_cast<llvm::BranchInst>(body->getTerminator());
    auto* look = branch && branch->isConditional() ? llvm::dyn_cast<llvm::ICmpInst>(branch->getCondition()) : nullptr;
    auto* request = look ? llvm::dyn_cast<llvm::LoadInst>(look->getOperand(0)) : nullptr;
    const bool alone = request && request->getPointerOperand() == abi_.request() && &body->front() == request &&
                       request->getNextNode() == look && look->getNextNode() == branch;
    return alone && look->getPredicate() == llvm::ICmpInst::ICMP_NE ? branch : nullptr;
  }

  /// At the begin: goes on with the body, or to what reads a frame.
  void look_at_begin(BasicBlock* entry) {
    auto* asked = BasicBlock::Create(function_.getContext(), "asked", &function_);
    BasicBlock* otherwise = entry->getSingleSuccessor();
    if (auto* branch = first_point(otherwise)) {
      otherwise = branch->getSuccessor(0);
      branch->setSuccessor(0, asked);
    } else {
      entry->getTerminator()->eraseFromParent();
      IRBuilder<> builder(entry);
      auto* any = builder.CreateICmpNE(abi_.load_request(builder), builder.getInt32(0));
      builder.CreateCondBr(any, asked, otherwise, unlikely(function_.getContext()));
    }
    IRBuilder<> builder(asked);
    auto* restoring = builder.CreateICmpEQ(abi_.load_state(builder), builder.getInt32(kRestoring));
    builder.CreateCondBr(restoring, restore_, otherwise);
  }

  /// The one block that reads a frame, and goes on at its site.
  void make_restore(BasicBlock* entry) {
    auto& context = function_.getContext();
    restore_ = BasicBlock::Create(context, "restore", &function_);
    auto* never = BasicBlock::Create(context, "restore.never", &function_);
    IRBuilder<>(never).CreateUnreachable();
    look_at_begin(entry);
    IRBuilder<> builder(restore_);
    Value* frame = builder.CreateCall(abi_.pop(), {}, "frame");
    for (const FrameSlot& slot : layout_.slots)
      restored_.push_back(builder.CreateAlignedLoad(slot.type, at(builder, frame, slot.offset), align_at(slot.offset)));
    if (layout_.stack_pointer != 0)
      builder.CreateStore(builder.CreateLoad(abi_.pointer(), at(builder, frame, layout_.stack_pointer)),
                          abi_.stack_pointer());
    auto* number = builder.CreateAlignedLoad(builder.getInt64Ty(), frame, llvm::Align(kFrameAlign), "site");
    dispatch_ = builder.CreateSwitch(number, never, static_cast<unsigned>(sites_.size()));
  }

  void add_site(const CallSite& site, unsigned k) {
    auto* terminator = site.block->getTerminator();
    IRBuilder<> builder(terminator);
    auto* left = builder.CreateICmpNE(abi_.load_state(builder), builder.getInt32(kRunning));
    BasicBlock* save = way_to_save(k);
    if (site.call->hasFnAttr(kLookedAfter)) save = if_saving(save, site.after);
    builder.CreateCondBr(left, save, site.after, unlikely(function_.getContext()));
    terminator->eraseFromParent();
    way_from_restore(site, k);
  }

  /// Behind a call that may throw or jump: that isn't for a frame to save, what follows looks at it.
  BasicBlock* if_saving(BasicBlock* save, BasicBlock* after) {
    auto* which = BasicBlock::Create(function_.getContext(), "left", &function_);
    IRBuilder<> builder(which);
    builder.CreateCondBr(builder.CreateICmpEQ(abi_.load_state(builder), builder.getInt32(kSaving)), save, after);
    return which;
  }

  /// Each way to and from the shared blocks has a block of its own that isn't empty: else what a phi needs on it would be
  /// done before the branch, on the fast path, and the register allocator would have to keep a value in one place at all sites.
  BasicBlock* way_to_save(unsigned k) {
    auto* way = BasicBlock::Create(function_.getContext(), "save." + llvm::Twine(k), &function_);
    IRBuilder<> builder(way);
    auto* type = llvm::FunctionType::get(builder.getInt64Ty(), {builder.getInt64Ty()}, false);
    Value* number = builder.CreateCall(llvm::InlineAsm::get(type, "", "=r,0", true), {builder.getInt64(k)});
    builder.CreateBr(save_);
    number_->addIncoming(number, way);
    for (const auto& [slot, phi] : llvm::zip_equal(layout_.slots, saved_))
      phi->addIncoming(slot.at[k] ? slot.at[k] : llvm::PoisonValue::get(slot.type), way);
    return way;
  }

  void way_from_restore(const CallSite& site, unsigned k) {
    auto* way = BasicBlock::Create(function_.getContext(), "restore." + llvm::Twine(k), &function_);
    IRBuilder<> builder(way);
    auto* type = llvm::FunctionType::get(builder.getVoidTy(), false);
    builder.CreateCall(llvm::InlineAsm::get(type, "", "", true));
    builder.CreateBr(site.block);
    for (const auto& [slot, value] : llvm::zip_equal(layout_.slots, restored_))
      if (slot.at[k]) definitions_[slot.at[k]].push_back({way, value});
    dispatch_->addCase(builder.getInt64(k), way);
  }

  static Value* at(IRBuilder<>& builder, Value* frame, uint64_t offset) {
    return builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), frame, offset);
  }

  static llvm::Align align_at(uint64_t offset) { return llvm::commonAlignment(llvm::Align(kFrameAlign), offset); }

  /// Values that no longer dominate all their uses: those that cross a call site or that one takes as operands.
  void repair(BasicBlock* entry) {
    llvm::SSAUpdaterBulk updater;
    llvm::DominatorTree dominators(function_);
    bool any = false;
    const auto add = [&](Value& value, BasicBlock* defined_in) {
      std::vector<llvm::Use*> uses;
      const auto* restored = definitions_.contains(&value) ? &definitions_[&value] : nullptr;
      for (auto& use : value.uses())
        if (needs_repair(use, defined_in, restored != nullptr, dominators)) uses.push_back(&use);
      if (uses.empty()) return;
      const unsigned variable = updater.AddVariable(value.getName(), value.getType());
      updater.AddAvailableValue(variable, defined_in, &value);
      // An argument is what it was only where the function has begun.
      if (defined_in == entry) updater.AddAvailableValue(variable, restore_, llvm::PoisonValue::get(value.getType()));
      if (restored)
        for (const auto& [block, loaded] : *restored) updater.AddAvailableValue(variable, block, loaded);
      for (auto* use : uses) updater.AddUse(variable, use);
      any = true;
    };
    for (auto& argument : function_.args())
      if (definitions_.contains(&argument)) add(argument, entry);
    for (auto& block : function_)
      if (!block.isEntryBlock())
        for (auto& i : block)
          if (!i.getType()->isVoidTy() && !i.use_empty()) add(i, &block);
    if (any) updater.RewriteAllUses(&dominators);
  }

  static bool needs_repair(const llvm::Use& use, const BasicBlock* defined_in, bool restored,
                           const llvm::DominatorTree& dominators) {
    const auto* user = llvm::cast<llvm::Instruction>(use.getUser());
    const auto* phi = llvm::dyn_cast<llvm::PHINode>(user);
    const BasicBlock* in = phi ? phi->getIncomingBlock(use) : user->getParent();
    if (in == defined_in) return false;
    return restored || !dominators.dominates(defined_in, in);
  }

  Function& function_;
  Abi& abi_;
  const MayStop& may_stop_;
  ArenaFrame arena_;
  std::vector<CallSite> sites_;
  FrameLayout layout_;
  BasicBlock* save_ = nullptr;
  BasicBlock* restore_ = nullptr;
  llvm::PHINode* number_ = nullptr;
  std::vector<llvm::PHINode*> saved_;  ///< by slot
  std::vector<Value*> restored_;  ///< by slot
  llvm::SwitchInst* dispatch_ = nullptr;
  llvm::DenseMap<Value*, std::vector<std::pair<BasicBlock*, Value*>>> definitions_;
};

}  // namespace

llvm::PreservedAnalyses build_frames(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  const MayStop may_stop(module);
  Abi abi(module);
  for (Function& function : module) {
    // A thread can't stop while it is in any other: its variables may stay on the native stack.
    if (function.isDeclaration() || !may_stop.function(function)) continue;
    FrameBuilder(function, abi, may_stop).build();
    if (llvm::verifyFunction(function, &llvm::errs()))
      llvm::report_fatal_error("godwit: build_frames made '" + function.getName() + "' wrong");
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
