// Neutral code for a big-endian processor.
//
// Problem: memory moves verbatim, so it is little-endian on every architecture, laid out as the neutral data layout says.
// Converting it when a unit moves would take types: of unions, of what malloc has given, of pointers hidden in integers.
//
// Idea: only registers are the processor's own. Here, as the last pass before a target's back end, each load and store of
// neutral memory turns its bytes over; globals are bytes already; and what a target's data layout could move (members of
// structures, elements of arrays, variables) is an offset in bytes. After this pass the module's data layout may be replaced by
// the target's. The target's optimisations find that two turnings in a row are none, and that a loop which only copies is a memcpy.
//
//     load T                bswap(load iN), as T. Aggregates and vectors a member at a time: adapt_memory.cc
//     atomicrmw and, xchg   the same with a value that was turned over: these don't mind the order of bytes
//     atomicrmw add, …      a loop of cmpxchg
//     getelementptr, alloca  offsets and sizes in bytes: adapt_layout.cc
//     bitcast of a vector   which element comes first depends on the byte order: turned over on both sides
//     a global              bytes, and words for the linker: adapt_globals.cc
//
// Native memory stays native: the words of abi.h that lie in the runtime (__godwit_state …) are reached by their names only. What
// the back end puts on its stack and in its constant pools is its own, too.
//
// Limits: masked loads and other intrinsics that read memory as numbers come from vectorisers only, which run behind this pass.
//
// Source: the method is old (IBM's and Apple's emulators kept the guest's byte order in memory); facts/portable.md has the measurements.
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>
#include <llvm/Transforms/Utils/LowerAtomic.h>

#include "portable/pass/adapt.h"
#include "portable/pass/passes.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

using llvm::Function;
using llvm::Instruction;
using llvm::IRBuilder;
using llvm::Value;

class Adapter {
 public:
  explicit Adapter(llvm::Module& module) : layout_(module.getDataLayout()), memory_(layout_, true) {}

  void adapt(Function& function) {
    separate_native_words(function);
    count_in_bytes(function, layout_);
    std::vector<Instruction*> all;
    for (auto& block : function)
      for (auto& i : block) all.push_back(&i);
    for (auto* i : all) adapt(*i);
  }

 private:
  void adapt(Instruction& i) {
    switch (i.getOpcode()) {
      case Instruction::Load: return adapt_load(llvm::cast<llvm::LoadInst>(i));
      case Instruction::Store: return adapt_store(llvm::cast<llvm::StoreInst>(i));
      case Instruction::AtomicRMW: return adapt_atomic(llvm::cast<llvm::AtomicRMWInst>(i));
      case Instruction::AtomicCmpXchg: return adapt_exchange(llvm::cast<llvm::AtomicCmpXchgInst>(i));
      case Instruction::BitCast: return adapt_bitcast(llvm::cast<llvm::BitCastInst>(i));
      case Instruction::Call: return adapt_call(llvm::cast<llvm::CallInst>(i));
      case Instruction::FMul: return hide_lengthening(i);
      case Instruction::VAArg: llvm::report_fatal_error("godwit: a va_arg is left");
      default: return;
    }
  }

  void adapt_load(llvm::LoadInst& load) {
    if (is_native_word(load.getPointerOperand()) || NeutralMemory::is_same(load.getType())) return;
    IRBuilder<> builder(&load);
    if (!load.isAtomic())
      return replace(load, memory_.load(builder, load.getType(), load.getPointerOperand(), load.getAlign(), load));
    auto* raw = builder.CreateAlignedLoad(memory_.bits_of(load.getType()), load.getPointerOperand(), load.getAlign(),
                                          load.isVolatile());
    raw->setAtomic(load.getOrdering(), load.getSyncScopeID());
    replace(load, memory_.decode(builder, raw, load.getType()));
  }

  void adapt_store(llvm::StoreInst& store) {
    Value* value = store.getValueOperand();
    if (is_native_word(store.getPointerOperand()) || NeutralMemory::is_same(value->getType())) return;
    IRBuilder<> builder(&store);
    if (store.isAtomic()) {
      auto* raw = builder.CreateAlignedStore(memory_.encode(builder, value), store.getPointerOperand(),
                                             store.getAlign(), store.isVolatile());
      raw->setAtomic(store.getOrdering(), store.getSyncScopeID());
    } else {
      memory_.store(builder, value, store.getPointerOperand(), store.getAlign(), store);
    }
    store.eraseFromParent();
  }

  void adapt_exchange(llvm::AtomicCmpXchgInst& exchange) {
    auto* type = exchange.getCompareOperand()->getType();
    if (NeutralMemory::is_same(type)) return;
    IRBuilder<> builder(&exchange);
    auto* raw = builder.CreateAtomicCmpXchg(
        exchange.getPointerOperand(), memory_.encode(builder, exchange.getCompareOperand()),
        memory_.encode(builder, exchange.getNewValOperand()), exchange.getAlign(), exchange.getSuccessOrdering(),
        exchange.getFailureOrdering(), exchange.getSyncScopeID());
    raw->setVolatile(exchange.isVolatile());
    raw->setWeak(exchange.isWeak());
    Value* both = builder.CreateInsertValue(llvm::PoisonValue::get(exchange.getType()),
                                            memory_.decode(builder, builder.CreateExtractValue(raw, 0), type), 0);
    replace(exchange, builder.CreateInsertValue(both, builder.CreateExtractValue(raw, 1), 1));
  }

  void adapt_atomic(llvm::AtomicRMWInst& atomic) {
    auto* type = atomic.getType();
    if (NeutralMemory::is_same(type)) return;
    switch (atomic.getOperation()) {
      case llvm::AtomicRMWInst::Xchg:
      case llvm::AtomicRMWInst::And:
      case llvm::AtomicRMWInst::Nand:
      case llvm::AtomicRMWInst::Or:
      case llvm::AtomicRMWInst::Xor: {
        IRBuilder<> builder(&atomic);
        auto* raw = builder.CreateAtomicRMW(atomic.getOperation(), atomic.getPointerOperand(),
                                            memory_.encode(builder, atomic.getValOperand()), atomic.getAlign(),
                                            atomic.getOrdering(), atomic.getSyncScopeID());
        raw->setVolatile(atomic.isVolatile());
        return replace(atomic, memory_.decode(builder, raw, type));
      }
      default: return adapt_by_loop(atomic);
    }
  }

  ///     before:  first = load
  ///     again:   raw = phi(first, seen); seen = cmpxchg(raw, turned(operation(turned(raw)))); the same? → behind : → again
  void adapt_by_loop(llvm::AtomicRMWInst& atomic) {
    auto* before = atomic.getParent();
    auto* behind = llvm::SplitBlock(before, &atomic);
    auto* again = llvm::BasicBlock::Create(atomic.getContext(), "again", before->getParent(), behind);
    auto* type = memory_.bits_of(atomic.getType());
    before->getTerminator()->eraseFromParent();
    IRBuilder<> builder(before);
    auto* first = builder.CreateAlignedLoad(type, atomic.getPointerOperand(), atomic.getAlign(), atomic.isVolatile());
    first->setAtomic(llvm::AtomicOrdering::Monotonic, atomic.getSyncScopeID());
    builder.CreateBr(again);
    builder.SetInsertPoint(again);
    auto* raw = builder.CreatePHI(type, 2);
    Value* old = memory_.decode(builder, raw, atomic.getType());
    Value* next = llvm::buildAtomicRMWValue(atomic.getOperation(), builder, old, atomic.getValOperand());
    auto* exchange = builder.CreateAtomicCmpXchg(
        atomic.getPointerOperand(), raw, memory_.encode(builder, next), atomic.getAlign(), atomic.getOrdering(),
        llvm::AtomicCmpXchgInst::getStrongestFailureOrdering(atomic.getOrdering()), atomic.getSyncScopeID());
    exchange->setVolatile(atomic.isVolatile());
    raw->addIncoming(first, before);
    raw->addIncoming(builder.CreateExtractValue(exchange, 0), again);
    builder.CreateCondBr(builder.CreateExtractValue(exchange, 1), behind, again);
    replace(atomic, old);
  }

  static Value* reversed(IRBuilder<>& builder, Value* value) {
    const auto* type = llvm::dyn_cast<llvm::FixedVectorType>(value->getType());
    if (!type) return value;
    std::vector<int> order(type->getNumElements());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(order.size() - 1 - i);
    return builder.CreateShuffleVector(value, order);
  }

  static void adapt_bitcast(llvm::BitCastInst& cast) {
    if (!cast.getSrcTy()->isVectorTy() && !cast.getDestTy()->isVectorTy()) return;
    IRBuilder<> builder(&cast);
    Value* value = reversed(builder, cast.getOperand(0));
    replace(cast, reversed(builder, builder.CreateBitCast(value, cast.getDestTy())));
  }

  /// A product of two numbers that were lengthened is one instruction of s390x (MDEBR, MXDBR), and qemu 7.2 computes it wrongly: it
  /// takes the first for a long one as it is. So the back end mustn't see that both were.
  static void hide_lengthening(Instruction& product) {
    auto* type = product.getType();
    for (auto& factor : product.operands()) {
      const auto* strict = llvm::dyn_cast<llvm::ConstrainedFPIntrinsic>(factor);  // musl's fmaf
      const bool is_longer = llvm::isa<llvm::FPExtInst>(factor) ||
                             (strict && strict->getIntrinsicID() == llvm::Intrinsic::experimental_constrained_fpext);
      if (!is_longer || type->isVectorTy()) continue;
      auto* nothing = llvm::InlineAsm::get(llvm::FunctionType::get(type, {type}, false), "", "=f,0", false);
      factor.set(IRBuilder<>(&product).CreateCall(nothing, {factor.get()}));
      return;
    }
  }

  static void adapt_call(llvm::CallInst& call) {
    const auto* intrinsic = llvm::dyn_cast<llvm::IntrinsicInst>(&call);
    if (!intrinsic) return;
    switch (intrinsic->getIntrinsicID()) {
      case llvm::Intrinsic::experimental_constrained_fmul: return hide_lengthening(call);
      case llvm::Intrinsic::masked_load:
      case llvm::Intrinsic::masked_store:
      case llvm::Intrinsic::masked_gather:
      case llvm::Intrinsic::masked_scatter:
      case llvm::Intrinsic::masked_expandload:
      case llvm::Intrinsic::masked_compressstore:
      case llvm::Intrinsic::load_relative:
        llvm::report_fatal_error("godwit: " + intrinsic->getCalledFunction()->getName() +
                                 " can't be adapted to this target");
      default: return;
    }
  }

  const llvm::DataLayout layout_;
  NeutralMemory memory_;
};

}  // namespace

llvm::PreservedAnalyses adapt_big_endian(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  Adapter adapter(module);
  for (auto& function : module) {
    if (!function.isDeclaration()) adapter.adapt(function);
  }
  adapt_globals(module, Addresses::kWide);
  if (llvm::verifyModule(module, &llvm::errs())) llvm::report_fatal_error("godwit: adapt_big_endian made wrong code");
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
