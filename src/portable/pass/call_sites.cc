// Finds the calls during which a thread may stop, and what the function still needs after each.
#include <llvm/IR/CFG.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

#include "portable/pass/frames.h"

namespace godwit::portable {
namespace {

using llvm::BasicBlock;
using llvm::BitVector;
using llvm::Instruction;
using llvm::Value;

bool can_be_site(const llvm::CallInst& call) {
  if (call.isMustTailCall()) return refuse(call, "a call that must be a tail call can't be left for a move"), false;
  if (call.hasFnAttr(llvm::Attribute::ReturnsTwice))
    return refuse(call, "a function that returns twice isn't carried, but for setjmp"), false;
  return true;
}

/// Values numbered for the bit vectors: arguments, and instructions outside of the entry block that others may use.
class Numbers {
 public:
  explicit Numbers(llvm::Function& function) {
    for (auto& argument : function.args()) add(&argument);
    for (auto& block : function)
      if (!block.isEntryBlock())
        for (auto& i : block)
          if (!i.getType()->isVoidTy() && !i.getType()->isTokenTy()) add(&i);
  }
  [[nodiscard]] unsigned count() const { return static_cast<unsigned>(values_.size()); }
  [[nodiscard]] Value* value(unsigned number) const { return values_[number]; }
  /// Sets the bit of `value` when it has a number.
  void mark(const Value* value, BitVector& bits) const {
    if (const auto it = numbers_.find(value); it != numbers_.end()) bits.set(it->second);
  }
  void unmark(const Value* value, BitVector& bits) const {
    if (const auto it = numbers_.find(value); it != numbers_.end()) bits.reset(it->second);
  }

 private:
  void add(Value* value) {
    numbers_[value] = count();
    values_.push_back(value);
  }
  std::vector<Value*> values_;
  llvm::DenseMap<const Value*, unsigned> numbers_;
};

/// Backwards through a block: from what is live at its end to what is live at its begin. A phi's operand is live at the end
/// of the block that it comes from (`live_out` sees to that), its result isn't live before it.
BitVector live_in(const BasicBlock& block, BitVector live, const Numbers& numbers) {
  for (const Instruction& i : llvm::reverse(block)) {
    numbers.unmark(&i, live);
    if (!llvm::isa<llvm::PHINode>(i))
      for (const Value* operand : i.operands()) numbers.mark(operand, live);
  }
  return live;
}

BitVector live_out(const BasicBlock& block, const llvm::DenseMap<const BasicBlock*, BitVector>& ins,
                   const Numbers& numbers) {
  BitVector live(numbers.count());
  for (const BasicBlock* next : llvm::successors(&block)) {
    live |= ins.at(next);
    for (const auto& phi : next->phis()) numbers.mark(phi.getIncomingValueForBlock(&block), live);
  }
  return live;
}

}  // namespace

std::vector<CallSite> isolate_calls(llvm::Function& function, const MayStop& may_stop) {
  std::vector<llvm::CallInst*> calls;
  for (auto& block : function)
    for (auto& i : block)
      if (auto* call = llvm::dyn_cast<llvm::CallInst>(&i); call && may_stop.call(*call) && can_be_site(*call))
        calls.push_back(call);
  std::vector<CallSite> sites;
  for (auto* call : calls) {
    drop_promises(*call);
    CallSite site;
    site.call = call;
    site.block = llvm::SplitBlock(call->getParent(), call->getIterator());
    site.after = llvm::SplitBlock(site.block, std::next(call->getIterator()));
    sites.push_back(site);
  }
  return sites;
}

void find_live(llvm::Function& function, std::vector<CallSite>& sites) {
  const Numbers numbers(function);
  llvm::DenseMap<const BasicBlock*, BitVector> ins;
  for (auto& block : function) ins[&block] = BitVector(numbers.count());
  std::vector<BasicBlock*> work;
  llvm::DenseSet<BasicBlock*> waiting;
  for (auto& block : function) work.push_back(&block), waiting.insert(&block);
  while (!work.empty()) {  // the last blocks first: they feed those before them
    BasicBlock* block = work.back();
    work.pop_back();
    waiting.erase(block);
    BitVector live = live_in(*block, live_out(*block, ins, numbers), numbers);
    if (live == ins[block]) continue;
    ins[block] = std::move(live);
    for (BasicBlock* before : llvm::predecessors(block))
      if (waiting.insert(before).second) work.push_back(before);
  }
  for (auto& site : sites) {
    BitVector live = ins[site.after];
    site.live.clear();
    numbers.unmark(site.call, live);
    // What is called must be known when it is called again; a system call is even made again with its arguments.
    const auto* callee = site.call->getCalledFunction();
    if (!callee) numbers.mark(site.call->getCalledOperand(), live);
    if (callee && is_native(*callee))
      for (const Value* argument : site.call->args()) numbers.mark(argument, live);
    for (const unsigned bit : live.set_bits()) site.live.push_back(numbers.value(bit));
  }
}

}  // namespace godwit::portable
