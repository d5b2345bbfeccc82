// Variable arguments without a va_list of any target.
//
// Problem: va_list is 24, 32 or 8 bytes and holds addresses of register save areas on the native stack; a va_start under
// neutral IR crashes on x86-64 and is silently wrong elsewhere.
//
// Idea: the front end is riscv64's, where va_list is one pointer into an array of 8-byte slots (16-byte values aligned to
// 16) and where clang expands va_arg itself into loads from it. So a call stores its variable arguments into such an
// array, a variable of its own function, and passes its address as one more, ordinary parameter; va_start stores that
// parameter. The array is memory like any other: it moves, and a va_list in progress moves with it.
//
// C libraries read arguments that nobody gave: syscall() always six, fcntl() and ioctl() one. On a processor that is a stale
// register; here LLVM would see a load from nowhere and take all that leads to it for unreachable. So there are always six
// slots, and those that weren't given are zero.
//
// Limits: a function that is called without a prototype, or by a pointer of another type than its own, with variable
// arguments gets none (that is undefined in C as well).
//
// Source: RISC-V calling conventions ("Integer Calling Convention", variadic arguments), version 1.0.
#include <llvm/IR/IntrinsicInst.h>

#include <vector>

#include "portable/pass/passes.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

using llvm::CallBase;
using llvm::Function;
using llvm::FunctionType;
using llvm::IRBuilder;
using llvm::Value;

constexpr uint64_t kSlot = 8;
constexpr uint64_t kAlwaysThere = 6 * kSlot;

FunctionType* with_slots(FunctionType* type) {
  std::vector<llvm::Type*> parameters(type->params());
  parameters.push_back(llvm::PointerType::get(type->getContext(), 0));
  return FunctionType::get(type->getReturnType(), parameters, false);
}

/// Gives a variadic function, or declaration, the extra parameter.
void rewrite_function(Function& old) {
  auto* type = with_slots(old.getFunctionType());
  auto* fresh = Function::Create(type, old.getLinkage(), old.getAddressSpace());
  old.getParent()->getFunctionList().insert(old.getIterator(), fresh);
  fresh->takeName(&old);
  fresh->copyAttributesFrom(&old);
  fresh->setComdat(old.getComdat());
  fresh->copyMetadata(&old, 0);
  fresh->splice(fresh->begin(), &old);
  auto* target = fresh->arg_begin();
  for (auto& argument : old.args()) {
    argument.replaceAllUsesWith(target);
    target->takeName(&argument);
    ++target;
  }
  target->setName("slots");
  for (auto& block : *fresh)
    for (auto& i : llvm::make_early_inc_range(block))
      if (auto* start = llvm::dyn_cast<llvm::VAStartInst>(&i)) {
        IRBuilder<>(start).CreateStore(target, start->getArgList());
        start->eraseFromParent();
      }
  old.replaceAllUsesWith(fresh);
  old.eraseFromParent();
}

struct Slots {
  std::vector<uint64_t> offsets;
  uint64_t size = 0;
};

Slots slots_of(const CallBase& call, const llvm::DataLayout& layout) {
  Slots slots;
  for (unsigned i = call.getFunctionType()->getNumParams(); i < call.arg_size(); ++i) {
    llvm::Type* type = call.getArgOperand(i)->getType();
    if (layout.getABITypeAlign(type) > llvm::Align(kSlot)) slots.size = llvm::alignTo(slots.size, 2 * kSlot);
    slots.offsets.push_back(slots.size);
    slots.size += llvm::alignTo(layout.getTypeAllocSize(type), kSlot);
  }
  return slots;
}

/// A small integer fills its slot as its prototype attribute says; clang gives both kinds one.
Value* widened(IRBuilder<>& builder, const CallBase& call, unsigned index) {
  Value* value = call.getArgOperand(index);
  auto* integer = llvm::dyn_cast<llvm::IntegerType>(value->getType());
  if (!integer || integer->getBitWidth() >= 8 * kSlot) return value;
  return call.paramHasAttr(index, llvm::Attribute::ZExt) ? builder.CreateZExt(value, builder.getInt64Ty())
                                                         : builder.CreateSExt(value, builder.getInt64Ty());
}

void rewrite_call(CallBase& call, Value* buffer, const llvm::DataLayout& layout) {
  IRBuilder<> builder(&call);
  const unsigned fixed = call.getFunctionType()->getNumParams();
  const Slots slots = slots_of(call, layout);
  for (unsigned i = fixed; i < call.arg_size(); ++i)
    builder.CreateAlignedStore(
        widened(builder, call, i),
        builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), buffer, slots.offsets[i - fixed]), llvm::Align(kSlot));
  for (uint64_t offset = slots.size; offset < kAlwaysThere; offset += kSlot)
    builder.CreateAlignedStore(builder.getInt64(0),
                               builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), buffer, offset),
                               llvm::Align(kSlot));
  std::vector<Value*> arguments(call.arg_begin(), call.arg_begin() + fixed);
  arguments.push_back(buffer);
  auto* type = with_slots(call.getFunctionType());
  CallBase* fresh = nullptr;
  if (auto* invoke = llvm::dyn_cast<llvm::InvokeInst>(&call)) {
    fresh = builder.CreateInvoke(type, call.getCalledOperand(), invoke->getNormalDest(), invoke->getUnwindDest(),
                                 arguments);
  } else {
    auto* plain = builder.CreateCall(type, call.getCalledOperand(), arguments);
    plain->setTailCallKind(llvm::CallInst::TCK_NoTail);
    fresh = plain;
  }
  auto attributes = call.getAttributes();
  for (unsigned i = fixed; i < call.arg_size(); ++i)
    attributes = attributes.removeParamAttributes(call.getContext(), i);
  fresh->setAttributes(attributes);
  fresh->setCallingConv(call.getCallingConv());
  fresh->setDebugLoc(call.getDebugLoc());
  call.replaceAllUsesWith(fresh);
  fresh->takeName(&call);
  call.eraseFromParent();
}

/// All variadic calls of a function share one buffer: each fills it right before it calls.
void rewrite_calls(Function& function) {
  std::vector<CallBase*> calls;
  for (auto& block : function)
    for (auto& i : llvm::make_early_inc_range(block)) {
      if (auto* copy = llvm::dyn_cast<llvm::VACopyInst>(&i)) {
        IRBuilder<> builder(copy);
        builder.CreateStore(builder.CreateLoad(copy->getSrc()->getType(), copy->getSrc()), copy->getDest());
        copy->eraseFromParent();
      } else if (auto* end = llvm::dyn_cast<llvm::VAEndInst>(&i)) {
        end->eraseFromParent();
      } else if (auto* call = llvm::dyn_cast<CallBase>(&i)) {
        if (call->getFunctionType()->isVarArg() && !llvm::isa<llvm::IntrinsicInst>(call) && !call->isInlineAsm())
          calls.push_back(call);
      }
    }
  if (calls.empty()) return;
  const auto& layout = function.getParent()->getDataLayout();
  uint64_t size = kAlwaysThere;
  for (const CallBase* call : calls) size = std::max(size, slots_of(*call, layout).size);
  IRBuilder<> entry(&function.getEntryBlock(), function.getEntryBlock().begin());
  auto* buffer = entry.CreateAlloca(llvm::ArrayType::get(entry.getInt8Ty(), size), nullptr, "slots");
  buffer->setAlignment(llvm::Align(2 * kSlot));
  for (CallBase* call : calls) rewrite_call(*call, buffer, layout);
}

}  // namespace

llvm::PreservedAnalyses lower_varargs(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  for (auto& function : llvm::make_early_inc_range(module))
    if (function.isVarArg() && !function.isIntrinsic()) rewrite_function(function);
  for (auto& function : module) rewrite_calls(function);
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
