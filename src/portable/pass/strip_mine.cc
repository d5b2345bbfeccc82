// Long loops in strips.
//
// Problem: a loop that may be vectorised has no adaptation point in it (place_points.cc). When it has 10^11 rounds, its thread
// can't be moved for a minute.
//
// Idea: as compilers cut loops for vector machines. The loop itself stays as it is, but ends after at most so many rounds as
// take about a millisecond; a new loop around it comes to a point and goes on where the strip has ended:
//
//     outer:   left = phi (rounds, left' - 1); every variable of the loop: phi (its start, its value behind the strip)
//              strip = min(left, kStrip - 1)
//     loop:    c = phi (0, c + 1); …                     c == strip ? → ended : → loop
//     ended:   left' = left - strip;                     left' == 0 ? → the old way out : → next
//     next:    a point; → outer
//
// `rounds` is how often the last branch of the loop goes back, which ScalarEvolution must know; the other ways out of the loop
// stay as they are. Counts are numbers of ways back, one less than rounds, so that 2^64 rounds have one.
//
// The inner loop still has a number of rounds that is known before it begins, so it is vectorised and unrolled as before. A
// short loop pays for a minimum and a comparison when it is entered. A counter in each round, even one that is looked at
// every 1024 rounds, keeps loops from being vectorised (facts page: up to 95 % on saxpy).
//
// Limits: loops whose last branch isn't countable have no strips: searches in steps (`while (a[i] < pivot) ++i`), loops that
// weren't rotated.
#include "portable/pass/strip_mine.h"

#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/Local.h>
#include <llvm/Transforms/Utils/ScalarEvolutionExpander.h>

namespace godwit::portable {
namespace {

using llvm::BasicBlock;
using llvm::IRBuilder;
using llvm::PHINode;
using llvm::Value;

/// A few million simple instructions take about a millisecond. A call in the loop is of a function without points.
constexpr uint64_t kStripInstructions = uint64_t{1} << 22, kInstructionsOfCall = 200, kShortest = 1024;

uint64_t strip_length(const llvm::Loop& loop) {
  uint64_t instructions = 1;
  for (const BasicBlock* block : loop.blocks())
    for (const auto& i : *block)
      instructions += llvm::isa<llvm::CallBase>(i) && !llvm::isa<llvm::IntrinsicInst>(i) ? kInstructionsOfCall : 1;
  return std::max(kShortest, kStripInstructions / instructions);
}

/// How often the loop's last branch goes back, computed before the loop; null when that isn't known.
Value* expand_rounds(const llvm::Loop& loop, llvm::ScalarEvolution& evolution) {
  const auto* count = evolution.getExitCount(&loop, loop.getLoopLatch());
  if (llvm::isa<llvm::SCEVCouldNotCompute>(count) || !count->getType()->isIntegerTy() ||
      count->getType()->getIntegerBitWidth() > 64)
    return nullptr;
  auto* before = loop.getLoopPreheader()->getTerminator();
  llvm::SCEVExpander expander(evolution, before->getModule()->getDataLayout(), "rounds", false);
  if (!expander.isSafeToExpandAt(count, before)) return nullptr;
  Value* rounds = expander.expandCodeFor(count, count->getType(), before);
  IRBuilder<> builder(before);
  // Another way out may come before an end that has no meaning.
  if (!loop.getExitingBlock()) rounds = builder.CreateFreeze(rounds);
  return builder.CreateZExt(rounds, builder.getInt64Ty());
}

class Cut {
 public:
  explicit Cut(const Strip& strip)
      : header_(strip.loop->getHeader()),
        latch_(strip.loop->getLoopLatch()),
        before_(strip.loop->getLoopPreheader()),
        branch_(llvm::cast<llvm::BranchInst>(latch_->getTerminator())),
        exit_(branch_->getSuccessor(branch_->getSuccessor(0) == header_ ? 1 : 0)) {}

  llvm::Instruction* make(const Strip& strip) {
    auto& context = header_->getContext();
    auto* function = header_->getParent();
    auto* outer = BasicBlock::Create(context, "strips", function, header_);
    auto* ended = BasicBlock::Create(context, "strip.ended", function);
    auto* next = BasicBlock::Create(context, "strip.next", function);
    enter_through(outer, next);
    IRBuilder<> builder(outer);
    auto* i64 = builder.getInt64Ty();
    auto* left = builder.CreatePHI(i64, 2, "left");
    Value* length = builder.CreateBinaryIntrinsic(llvm::Intrinsic::umin, left, builder.getInt64(strip.length - 1));
    builder.CreateBr(header_);
    count_to(length, outer, ended);
    builder.SetInsertPoint(ended);
    Value* rest = builder.CreateSub(left, length);
    builder.CreateCondBr(builder.CreateICmpEQ(rest, builder.getInt64(0)), exit_, next);
    exit_->replacePhiUsesWith(latch_, ended);
    builder.SetInsertPoint(next);
    left->addIncoming(strip.rounds, before_);
    left->addIncoming(builder.CreateSub(rest, builder.getInt64(1)), next);
    return builder.CreateBr(outer);
  }

 private:
  /// The loop's variables begin with what they were at the end of the strip before.
  void enter_through(BasicBlock* outer, BasicBlock* next) {
    before_->getTerminator()->replaceSuccessorWith(header_, outer);
    IRBuilder<> builder(outer);
    for (PHINode& phi : header_->phis()) {
      auto* carried = builder.CreatePHI(phi.getType(), 2, phi.getName());
      const auto way = static_cast<unsigned>(phi.getBasicBlockIndex(before_));
      carried->addIncoming(phi.getIncomingValue(way), before_);
      carried->addIncoming(phi.getIncomingValueForBlock(latch_), next);
      phi.setIncomingValue(way, carried);
      phi.setIncomingBlock(way, outer);
    }
  }

  /// The loop's last branch asks for the end of the strip instead.
  void count_to(Value* length, BasicBlock* outer, BasicBlock* ended) {
    IRBuilder<> builder(header_, header_->begin());
    auto* count = builder.CreatePHI(builder.getInt64Ty(), 2, "in.strip");
    builder.SetInsertPoint(branch_);
    count->addIncoming(builder.getInt64(0), outer);
    count->addIncoming(builder.CreateAdd(count, builder.getInt64(1), "", true, false), latch_);
    auto* branch = builder.CreateCondBr(builder.CreateICmpEQ(count, length), ended, header_);
    branch->setMetadata(llvm::LLVMContext::MD_loop, branch_->getMetadata(llvm::LLVMContext::MD_loop));
    Value* condition = branch_->getCondition();
    branch_->eraseFromParent();
    llvm::RecursivelyDeleteTriviallyDeadInstructions(condition);
  }

  BasicBlock *header_, *latch_, *before_;
  llvm::BranchInst* branch_;
  BasicBlock* exit_;
};

}  // namespace

std::optional<Strip> plan_strips(llvm::Loop& loop, llvm::ScalarEvolution& evolution) {
  auto* latch = loop.getLoopLatch();
  if (!loop.isInnermost() || !loop.isLoopSimplifyForm() || !loop.isLoopExiting(latch)) return std::nullopt;
  const auto* branch = llvm::dyn_cast<llvm::BranchInst>(latch->getTerminator());
  if (!branch || !branch->isConditional()) return std::nullopt;
  Value* rounds = expand_rounds(loop, evolution);
  if (!rounds) return std::nullopt;
  return Strip{.loop = &loop, .rounds = rounds, .length = strip_length(loop)};
}

llvm::Instruction* cut(const Strip& strip) { return Cut(strip).make(strip); }

}  // namespace godwit::portable
