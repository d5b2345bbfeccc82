// Where a thread may stop.
//
// Problem: a thread that is asked to stop must come to a stopping place soon, but a look at a flag on each way around each
// loop costs up to 287 % (matmul) since it keeps loops from being vectorised and unrolled; a counter is no better.
//
// Idea (MigThread's placement heuristic, on what LLVM knows of a loop): a point goes to the end of each way around a loop,
// but not into an innermost loop that calls nothing and is countable: one whose number of rounds has a symbolic upper bound
// (ScalarEvolution). That one is cut into strips of a millisecond with a point between them (strip_mine.cc). None at all for
// a loop that walks on by the same step (`while (a[i] < pivot) ++i`): its surrounding loop has one. Nor for a nest of
// loops that constants bound to a million rounds in all: it is over in a millisecond or so. A function that takes part in a
// recursion and has no point in a loop gets one at its begin, which costs nothing: build_frames.cc asks the same there.
//
// Measured against no points at all: matmul +5 %, saxpy +4, qsort +4, others within noise (facts page).
//
// Limits: a countable loop that can't be cut, and a walk by steps, may run long.
//
// The program may set points itself: a call of godwit_adaptation_point() (<godwit.h>) is one, and a loop all of whose rounds
// pass such a point gets no other.
//
// What a point is: `if (__godwit_request != 0) __godwit_poll();` with the branch marked as never taken.
#include <llvm/ADT/SCCIterator.h>
#include <llvm/Analysis/CallGraph.h>
#include <llvm/Analysis/CycleAnalysis.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/ScalarEvolution.h>
#include <llvm/Analysis/ScalarEvolutionExpressions.h>
#include <llvm/IR/Dominators.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

#include <vector>

#include "portable/pass/passes.h"
#include "portable/pass/remarks.h"
#include "portable/pass/strip_mine.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

using llvm::BasicBlock;
using llvm::Function;
using llvm::Loop;
using llvm::ScalarEvolution;

/// Does some variable of the loop's header advance with each round, always by the same?
bool walks_steadily(const Loop& loop, ScalarEvolution& evolution) {
  for (auto& phi : loop.getHeader()->phis()) {
    if (!evolution.isSCEVable(phi.getType())) continue;
    const auto* step = llvm::dyn_cast<llvm::SCEVAddRecExpr>(evolution.getSCEV(&phi));
    if (step && step->getLoop() == &loop && step->isAffine() &&
        evolution.isKnownNonZero(step->getStepRecurrence(evolution)))
      return true;
  }
  return false;
}

bool calls_what_may_stop(const Loop& loop, const MayStop& may_stop) {
  for (const BasicBlock* block : loop.blocks())
    for (const auto& i : *block)
      if (const auto* call = llvm::dyn_cast<llvm::CallBase>(&i))
        if (may_stop.call(*call)) return true;
  return false;
}

/// Rounds of a nest of loops, the innermost counted, when constants bound them; else, or when they are too many to be without a
/// point, more than kMostRounds.
constexpr uint64_t kMostRounds = 1'000'000;
uint64_t rounds_of(const Loop& loop, ScalarEvolution& evolution) {
  const uint64_t own = evolution.getSmallConstantMaxTripCount(&loop);
  if (own == 0) return kMostRounds + 1;
  uint64_t inner = 0;
  for (const Loop* nested : loop) inner = std::min(kMostRounds + 1, inner + rounds_of(*nested, evolution));
  return std::min(kMostRounds + 1, own * std::max<uint64_t>(inner, 1));
}

enum class Points { kNone, kBetweenStrips, kEachRound };

Points points_of(const Loop& loop, ScalarEvolution& evolution, const MayStop& may_stop) {
  if (calls_what_may_stop(loop, may_stop)) return Points::kEachRound;
  if (rounds_of(loop, evolution) <= kMostRounds) return Points::kNone;
  if (!loop.isInnermost()) return Points::kEachRound;
  if (!llvm::isa<llvm::SCEVCouldNotCompute>(evolution.getSymbolicMaxBackedgeTakenCount(&loop)))
    return Points::kBetweenStrips;
  return loop.getLoopDepth() > 1 && walks_steadily(loop, evolution) ? Points::kNone : Points::kEachRound;
}

/// For the report: a loop that got no point. Of a nest it is the outer one that counts.
void tell_short(const Loop& loop, ScalarEvolution& evolution) {
  const Function& function = *loop.getHeader()->getParent();
  if (!is_told(function)) return;
  const uint64_t rounds = rounds_of(loop, evolution);
  const bool counted = rounds <= kMostRounds;
  const bool by_data = !llvm::isa<llvm::SCEVCouldNotCompute>(evolution.getSymbolicMaxBackedgeTakenCount(&loop));
  tell_stretch(function, loop.getStartLoc(),
               counted   ? Bound::kConstant
               : by_data ? Bound::kData
                         : Bound::kNone,
               rounds);
}

/// The comparison that decides about the next round moves behind the point: else its result would live across it, and be saved.
llvm::Instruction* before_comparison(llvm::Instruction* end) {
  auto* branch = llvm::dyn_cast<llvm::BranchInst>(end);
  auto* comparison =
      branch && branch->isConditional() ? llvm::dyn_cast<llvm::CmpInst>(branch->getCondition()) : nullptr;
  if (!comparison || !comparison->hasOneUse() || comparison->getParent() != end->getParent()) return end;
  comparison->moveBefore(end);
  return comparison;
}

/// Does this end of a block look whether the call before it came back with a jump (lower_jumps.cc)? Then the way on when it
/// didn't. The point belongs there: a thread that is saved in the middle of a jump would forget the jump.
BasicBlock* way_on_behind_look(const llvm::Instruction& end, Abi& abi) {
  const auto* branch = llvm::dyn_cast<llvm::BranchInst>(&end);
  const auto* look =
      branch && branch->isConditional() ? llvm::dyn_cast<llvm::ICmpInst>(branch->getCondition()) : nullptr;
  const auto* state = look ? llvm::dyn_cast<llvm::LoadInst>(look->getOperand(0)) : nullptr;
  if (!state || state->getPointerOperand() != abi.state()) return nullptr;
  return branch->getSuccessor(look->getPredicate() == llvm::ICmpInst::ICMP_EQ ? 1 : 0);
}

void insert_point(llvm::Instruction* end, Abi& abi) {
  if (BasicBlock* on = way_on_behind_look(*end, abi)) end = llvm::SplitEdge(end->getParent(), on)->getTerminator();
  llvm::Instruction* before = before_comparison(end);
  llvm::IRBuilder<> builder(before);
  auto* asked = builder.CreateICmpNE(abi.load_request(builder), builder.getInt32(0));
  auto* then = llvm::SplitBlockAndInsertIfThen(asked, before->getIterator(), false, unlikely(before->getContext()));
  builder.SetInsertPoint(then);
  builder.CreateCall(abi.poll());
}

/// Makes points of the calls that the program has for that. The blocks where they are.
llvm::DenseSet<const BasicBlock*> place_explicit(llvm::Module& module, Abi& abi) {
  llvm::DenseSet<const BasicBlock*> blocks;
  auto* asked = module.getFunction(kExplicitPoint);
  if (!asked) return blocks;
  for (auto* user : llvm::make_early_inc_range(asked->users())) {
    auto* call = llvm::dyn_cast<llvm::CallInst>(user);
    if (!call || call->getCalledOperand() != asked) continue;
    tell_point(*call->getFunction(), call->getDebugLoc(), PointKind::kExplicit);
    blocks.insert(call->getParent());
    insert_point(call, abi);
    call->eraseFromParent();
  }
  return blocks;
}

/// A cycle with several ways in (goto into a loop) is no loop to LLVM. It is rare: each way back to one of them gets a point.
void add_irreducible(const llvm::Cycle& cycle, llvm::DenseSet<const BasicBlock*>& seen,
                     std::vector<llvm::Instruction*>& ends) {
  if (!cycle.isReducible())
    for (BasicBlock* entry : cycle.entries())
      for (BasicBlock* from : llvm::predecessors(entry))
        if (cycle.contains(from) && seen.insert(from).second) ends.push_back(from->getTerminator());
  for (const llvm::Cycle* inner : cycle.children()) add_irreducible(*inner, seen, ends);
}

/// Do all rounds that end in this block pass a point that the program has set?
bool has_explicit(const Loop& loop, const BasicBlock& latch, const llvm::DenseSet<const BasicBlock*>& explicit_points,
                  Function& function, llvm::FunctionAnalysisManager& analyses) {
  if (explicit_points.empty()) return false;
  const auto& loops = analyses.getResult<llvm::LoopAnalysis>(function);
  const auto& dominators = analyses.getResult<llvm::DominatorTreeAnalysis>(function);
  return llvm::any_of(loop.blocks(), [&](const BasicBlock* block) {
    return explicit_points.contains(block) && loops.getLoopFor(block) == &loop && dominators.dominates(block, &latch);
  });
}

/// Where points of loops go.
struct Places {
  std::vector<llvm::Instruction*> ends;  ///< of rounds
  std::vector<Strip> strips;
};

Places places_in(Function& function, llvm::FunctionAnalysisManager& analyses, const MayStop& may_stop,
                 const llvm::DenseSet<const BasicBlock*>& explicit_points) {
  Places places;
  llvm::DenseSet<const BasicBlock*> seen;
  for (const llvm::Cycle* cycle : analyses.getResult<llvm::CycleAnalysis>(function).toplevel_cycles())
    add_irreducible(*cycle, seen, places.ends);
  auto& loops = analyses.getResult<llvm::LoopAnalysis>(function);
  if (loops.empty()) return places;
  auto& evolution = analyses.getResult<llvm::ScalarEvolutionAnalysis>(function);
  llvm::SmallPtrSet<const Loop*, 8> without;
  for (Loop* loop : loops.getLoopsInPreorder()) {
    const Points points = points_of(*loop, evolution, may_stop);
    if (points == Points::kBetweenStrips)
      if (const auto strip = plan_strips(*loop, evolution)) {
        tell_point(function, loop->getStartLoc(), PointKind::kStrip);
        places.strips.push_back(*strip);
        continue;
      }
    if (points != Points::kEachRound) {
      without.insert(loop);
      if (!without.contains(loop->getParentLoop())) tell_short(*loop, evolution);
      continue;
    }
    llvm::SmallVector<BasicBlock*, 4> latches;
    loop->getLoopLatches(latches);
    for (BasicBlock* latch : latches) {
      if (has_explicit(*loop, *latch, explicit_points, function, analyses) || !seen.insert(latch).second) continue;
      tell_point(function, loop->getStartLoc(), PointKind::kLoop);
      places.ends.push_back(latch->getTerminator());
    }
  }
  return places;
}

/// Functions that call each other in a circle, by direct calls.
std::vector<Function*> recursive_functions(llvm::Module& module) {
  std::vector<Function*> found;
  llvm::CallGraph graph(module);
  for (auto scc = llvm::scc_begin(&graph); !scc.isAtEnd(); ++scc)
    if (scc.hasCycle())
      for (const auto* node : *scc)
        if (Function* f = node->getFunction(); f && !f->isDeclaration()) found.push_back(f);
  return found;
}

/// For the report: calls of library functions that may come to a system call, each of which is a point; loops of functions
/// that are left as they are (allow.cc).
void tell_of_others(llvm::Module& module, llvm::FunctionAnalysisManager& analyses) {
  const Reach system_calls(module, {"__godwit_syscall"});
  for (Function& function : module) {
    if (function.isDeclaration() || !is_told(function)) continue;
    if (function.hasFnAttribute(kAllowed)) {
      for (const Loop* loop : analyses.getResult<llvm::LoopAnalysis>(function))
        tell_short(*loop, analyses.getResult<llvm::ScalarEvolutionAnalysis>(function));
      continue;
    }
    if (function.hasFnAttribute(kLeaf)) continue;
    for (auto& block : function)
      for (auto& i : block) {
        const auto* call = llvm::dyn_cast<llvm::CallBase>(&i);
        const Function* callee = call ? call->getCalledFunction() : nullptr;
        if (callee && callee->hasFnAttribute(kLeaf) && system_calls.call(*call))
          tell_point(function, call->getDebugLoc(), PointKind::kCall, callee->getName());
      }
  }
}

}  // namespace

llvm::PreservedAnalyses place_points(llvm::Module& module, llvm::ModuleAnalysisManager& analyses) {
  auto& of_functions = analyses.getResult<llvm::FunctionAnalysisManagerModuleProxy>(module).getManager();
  Abi abi(module);
  const auto explicit_points = place_explicit(module, abi);
  const MayStop may_stop(module);
  const auto recursive = recursive_functions(module);
  tell_of_others(module, of_functions);
  llvm::DenseSet<const Function*> have;
  for (Function& function : module) {
    if (function.isDeclaration() || function.hasFnAttribute(kLeaf)) continue;
    const auto [ends, strips] = places_in(function, of_functions, may_stop, explicit_points);
    for (const Strip& strip : strips) insert_point(cut(strip), abi);
    for (auto* end : ends) insert_point(end, abi);
    if (!ends.empty()) have.insert(&function);
  }
  for (Function* function : recursive) {
    if (have.contains(function) || function->hasFnAttribute(kLeaf)) continue;
    llvm::Instruction* begin = &*function->getEntryBlock().getFirstNonPHIOrDbgOrAlloca();
    tell_point(*function, begin->getDebugLoc(), PointKind::kRecursion);
    insert_point(begin, abi);
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
