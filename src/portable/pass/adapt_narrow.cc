// Neutral code for a processor whose addresses have 32 bits.
//
// Problem: a pointer has 8 bytes in neutral memory. Cut down to 4 when it is loaded, one that carries a mark in its upper half, or is
// (void*)-1, would come back as another one, and nobody would notice.
//
// Idea: a pointer is a number of 64 bits, in registers too: it is added to, compared and stored as on every other architecture.
// Only where memory is accessed does it become an address, by its lower half; whoever accesses memory through a pointer whose upper
// half isn't zero would have been ended by a 64-bit processor. The back end finds most upper halves to be zero, or unused.
//
// How: functions are cloned with another type in place of `ptr` (LLVM's value mapper does that), which leaves instructions that
// take an address with a number instead. Each of them is then mended:
//
//     load, store, atomics     the address is inttoptr of the number, which cuts it
//     getelementptr            an addition
//     alloca                   stays, its address becomes a number
//     ptrtoint, inttoptr       nothing, or zext and trunc
//     a call of neutral code   by its name; through a pointer, an address again
//     a call of native code    its arguments are what the C function of that name has: pointers, sizes of 32 bits
//
// Limits: the arena and all globals must lie below 4 GiB (abi.h: the low family). Debug information is dropped.
#include <llvm/IR/AttributeMask.h>
#include <llvm/IR/DebugInfo.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Transforms/Utils/Cloning.h>
#include <llvm/Transforms/Utils/ValueMapper.h>

#include "portable/pass/adapt.h"
#include "portable/pass/passes.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

using llvm::CallInst;
using llvm::Constant;
using llvm::ConstantExpr;
using llvm::Function;
using llvm::FunctionType;
using llvm::Instruction;
using llvm::IRBuilder;
using llvm::Type;
using llvm::Value;

/// Types with i64 in place of ptr.
class WideTypes : public llvm::ValueMapTypeRemapper {
 public:
  Type* remapType(Type* type) override {
    Type*& known = known_[type];
    if (!known) known = remap(type);
    return known_[type];
  }

 private:
  Type* remap(Type* type) {
    if (type->isPointerTy()) return Type::getInt64Ty(type->getContext());
    if (auto* array = llvm::dyn_cast<llvm::ArrayType>(type))
      return llvm::ArrayType::get(remap(array->getElementType()), array->getNumElements());
    if (auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type))
      return llvm::FixedVectorType::get(remap(vector->getElementType()), vector->getNumElements());
    if (auto* function = llvm::dyn_cast<FunctionType>(type)) {
      std::vector<Type*> parameters;
      for (Type* p : function->params()) parameters.push_back(remap(p));
      return FunctionType::get(remap(function->getReturnType()), parameters, function->isVarArg());
    }
    auto* structure = llvm::dyn_cast<llvm::StructType>(type);
    if (!structure || structure->isOpaque()) return type;
    std::vector<Type*> members;
    bool changed = false;
    for (Type* member : structure->elements()) {
      members.push_back(remap(member));
      changed = changed || members.back() != member;
    }
    return changed ? llvm::StructType::get(type->getContext(), members, structure->isPacked()) : type;
  }

  llvm::DenseMap<Type*, Type*> known_;
};

/// Constants in which an address is a number.
class WideConstants : public llvm::ValueMaterializer {
 public:
  explicit WideConstants(WideTypes& types) : types_(types) {}

  Value* materialize(Value* value) override {
    auto* constant = llvm::dyn_cast<Constant>(value);
    return constant ? wide(constant) : nullptr;
  }

 private:
  /// Null: it is what it was.
  Constant* wide(Constant* constant) {
    Type* type = constant->getType();
    Type* wanted = types_.remapType(type);
    auto* expression = llvm::dyn_cast<ConstantExpr>(constant);
    if (expression && expression->getOpcode() == Instruction::PtrToInt && type->isIntegerTy(64))
      return wide(expression->getOperand(0));
    if (wanted == type) return expression ? constant : nullptr;  // its addresses are inside of it
    if (llvm::isa<llvm::PoisonValue>(constant)) return llvm::PoisonValue::get(wanted);
    if (llvm::isa<llvm::UndefValue>(constant)) return llvm::UndefValue::get(wanted);
    if (constant->isNullValue()) return Constant::getNullValue(wanted);
    if (type->isPointerTy()) return number(constant, expression);
    std::vector<Constant*> members;
    for (auto& operand : constant->operands()) {
      auto* member = llvm::cast<Constant>(operand);
      Constant* fresh = wide(member);
      members.push_back(fresh ? fresh : member);
    }
    if (auto* structure = llvm::dyn_cast<llvm::StructType>(wanted))
      return llvm::ConstantStruct::get(structure, members);
    if (auto* array = llvm::dyn_cast<llvm::ArrayType>(wanted)) return llvm::ConstantArray::get(array, members);
    return llvm::ConstantVector::get(members);
  }

  static Constant* number(Constant* address, ConstantExpr* expression) {
    auto* i64 = Type::getInt64Ty(address->getContext());
    if (expression && expression->getOpcode() == Instruction::IntToPtr)
      return llvm::cast<Constant>(expression->getOperand(0));
    return ConstantExpr::getPtrToInt(address, i64);
  }

  WideTypes& types_;
};

/// The native functions of the C library: what they return and take, p: a pointer, s: a size, i: an int. (Their declarations may be of
/// any type: libcalls.cc declares what may be needed.) Others of the runtime have pointers and fixed widths.
struct NativeFunction {
  const char* name;
  const char* types;
};
constexpr NativeFunction kNatives[] = {{"memcpy", "ppps"}, {"memmove", "ppps"}, {"memset", "ppis"}, {"memcmp", "ipps"},
                                       {"memchr", "ppis"}, {"strlen", "sp"},    {"strchr", "ppi"},  {"strcmp", "ipp"}};

const char* types_of(llvm::StringRef name) {
  for (const auto& native : kNatives)
    if (name == native.name) return native.types;
  return nullptr;
}

/// `wide`: as neutral code sees it behind this pass.
FunctionType* type_of(llvm::LLVMContext& context, const char* types, bool wide) {
  std::vector<Type*> all;
  for (; *types; ++types)
    all.push_back(*types == 'i' || (*types == 's' && !wide) ? Type::getInt32Ty(context)
                  : wide                                    ? static_cast<Type*>(Type::getInt64Ty(context))
                                                            : llvm::PointerType::get(context, 0));
  return FunctionType::get(all.front(), llvm::ArrayRef(all).drop_front(), false);
}

class Narrowing {
 public:
  explicit Narrowing(llvm::Module& module)
      : module_(module), layout_(module.getDataLayout()), memory_(layout_, false), constants_(types_) {}

  void run() {
    llvm::StripDebugInfo(module_);
    std::vector<Function*> defined;
    for (auto& f : module_)
      if (!f.isDeclaration()) defined.push_back(&f);
    for (auto* f : defined) prepare(*f);
    for (auto* f : defined) clones_[f] = declare_clone(*f);
    for (auto* f : defined) remake(*f, *clones_[f]);
    for (auto* f : defined) {
      std::vector<Instruction*> all;
      for (auto& block : *clones_[f])
        for (auto& i : block) all.push_back(&i);
      for (auto* i : all) mend(*i);
    }
    for (auto* f : defined) f->deleteBody();
    for (auto* f : defined) {
      f->replaceAllUsesWith(clones_[f]);
      f->eraseFromParent();
    }
    for (auto& f : module_) f.removeDeadConstantUsers();  // numbers that were addresses of functions
    wrap_native_thunks();
  }

 private:
  /// What is still done with the old types: offsets, and aggregates a member at a time.
  void prepare(Function& function) {
    separate_native_words(function);
    count_in_bytes(function, layout_);
    for (auto& block : function)
      for (auto& i : llvm::make_early_inc_range(block)) {
        IRBuilder<> builder(&i);
        if (auto* load = llvm::dyn_cast<llvm::LoadInst>(&i); load && load->getType()->isAggregateType()) {
          replace(*load, memory_.load(builder, load->getType(), load->getPointerOperand(), load->getAlign(), *load));
        } else if (auto* store = llvm::dyn_cast<llvm::StoreInst>(&i);
                   store && store->getValueOperand()->getType()->isAggregateType()) {
          memory_.store(builder, store->getValueOperand(), store->getPointerOperand(), store->getAlign(), *store);
          store->eraseFromParent();
        } else if (auto* intrinsic = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
                   intrinsic && intrinsic->use_empty() && intrinsic->isAssumeLikeIntrinsic()) {
          intrinsic->eraseFromParent();
        }
      }
  }

  Function* declare_clone(Function& old) {
    auto* type = llvm::cast<FunctionType>(types_.remapType(old.getFunctionType()));
    auto* fresh = Function::Create(type, old.getLinkage(), old.getAddressSpace(), "", &module_);
    fresh->takeName(&old);
    return fresh;
  }

  void remake(Function& old, Function& fresh) {
    llvm::ValueToValueMapTy map;
    auto* argument = fresh.arg_begin();
    for (auto& a : old.args()) {
      argument->setName(a.getName());
      map[&a] = &*argument++;
    }
    llvm::SmallVector<llvm::ReturnInst*, 8> returns;
    llvm::CloneFunctionInto(&fresh, &old, map, llvm::CloneFunctionChangeType::LocalChangesOnly, returns, "", nullptr,
                            &types_, &constants_);
    fresh.setAttributes(fitting(old.getAttributes(), fresh.getFunctionType()));
    fresh.setPersonalityFn(nullptr);
  }

  /// Without what is only said of pointers.
  llvm::AttributeList fitting(llvm::AttributeList list, const FunctionType* type) {
    auto& context = module_.getContext();
    list = list.removeRetAttributes(context, llvm::AttributeFuncs::typeIncompatible(type->getReturnType()));
    for (unsigned i = 0; i < type->getNumParams(); ++i) {
      llvm::AttributeMask mask = llvm::AttributeFuncs::typeIncompatible(type->getParamType(i));
      mask.addAttribute(llvm::Attribute::Returned);
      list = list.removeParamAttributes(context, i, mask);
    }
    llvm::AttributeMask sizes;
    sizes.addAttribute(llvm::Attribute::AllocSize);
    sizes.addAttribute(llvm::Attribute::AllocKind);
    return list.removeFnAttributes(context, sizes);
  }

  /// The address that a number is.
  Value* address(IRBuilder<>& builder, Value* number) {
    auto* pointer = llvm::PointerType::get(module_.getContext(), 0);
    if (auto* expression = llvm::dyn_cast<ConstantExpr>(number);
        expression && expression->getOpcode() == Instruction::PtrToInt)
      return expression->getOperand(0);
    return builder.CreateIntToPtr(number, pointer);
  }

  void mend_address(Instruction& i, unsigned operand) {
    IRBuilder<> builder(&i);
    i.setOperand(operand, address(builder, i.getOperand(operand)));
  }

  void mend(Instruction& i) {
    IRBuilder<> builder(&i);
    switch (i.getOpcode()) {
      case Instruction::Load: return mend_load(llvm::cast<llvm::LoadInst>(i));
      case Instruction::Store: return mend_store(llvm::cast<llvm::StoreInst>(i));
      case Instruction::AtomicRMW:
      case Instruction::AtomicCmpXchg: return mend_address(i, 0);
      case Instruction::GetElementPtr: {
        Value* offset = builder.CreateSExtOrTrunc(i.getOperand(1), i.getType());
        return replace(i, builder.CreateAdd(i.getOperand(0), offset));
      }
      case Instruction::PtrToInt:
      case Instruction::IntToPtr: return replace_by(i, builder.CreateZExtOrTrunc(i.getOperand(0), i.getType()));
      case Instruction::Alloca: {
        i.mutateType(llvm::PointerType::get(module_.getContext(), 0));
        return as_number(i);
      }
      case Instruction::Call: return mend_call(llvm::cast<CallInst>(i));
      default: return;
    }
  }

  static void replace_by(Instruction& old, Value* fresh) {
    if (fresh == old.getOperand(0)) {
      old.replaceAllUsesWith(fresh);
      old.eraseFromParent();
    } else {
      replace(old, fresh);
    }
  }

  /// `i` gives a pointer: all who use it get the number.
  void as_number(Instruction& i) {
    IRBuilder<> builder(i.getNextNode());
    auto* number = llvm::cast<Instruction>(builder.CreatePtrToInt(&i, builder.getInt64Ty()));
    i.replaceUsesWithIf(number, [&](const llvm::Use& use) { return use.getUser() != number; });
  }

  void mend_load(llvm::LoadInst& load) {
    mend_address(load, 0);
    const auto* word = llvm::dyn_cast<llvm::GlobalVariable>(load.getPointerOperand());
    if (!word || !is_native(*word) || !word->getValueType()->isPointerTy()) return;
    load.mutateType(word->getValueType());
    load.setAlignment(llvm::Align(4));
    as_number(load);
  }

  void mend_store(llvm::StoreInst& store) {
    mend_address(store, 1);
    const auto* word = llvm::dyn_cast<llvm::GlobalVariable>(store.getPointerOperand());
    if (!word || !is_native(*word) || !word->getValueType()->isPointerTy()) return;
    mend_address(store, 0);
    store.setAlignment(llvm::Align(4));
  }

  void mend_call(CallInst& call) {
    if (call.isInlineAsm()) return;
    IRBuilder<> builder(&call);
    Value* callee = address(builder, call.getCalledOperand());
    call.setAttributes(fitting(call.getAttributes(), call.getFunctionType()));
    auto* function = llvm::dyn_cast<Function>(callee);
    if (function && function->isIntrinsic()) return mend_intrinsic(call, *function);
    if (function && clones_.contains(function)) {
      call.setCalledOperand(clones_[function]);
    } else if (function && function->isDeclaration() && !function->getName().starts_with(kThunkPrefix)) {
      call_native(call, *function);
    } else {
      call.setCalledOperand(callee);
    }
  }

  void mend_intrinsic(CallInst& call, Function& function) {
    IRBuilder<> builder(&call);
    const auto* type = function.getFunctionType();
    if (function.getIntrinsicID() == llvm::Intrinsic::ptrmask)
      return replace(call, builder.CreateAnd(call.getArgOperand(0), call.getArgOperand(1)));
    for (unsigned i = 0; i < call.arg_size(); ++i)
      if (type->getParamType(i)->isPointerTy()) call.setArgOperand(i, address(builder, call.getArgOperand(i)));
    call.setCalledFunction(&function);
    if (auto* memory = llvm::dyn_cast<llvm::MemIntrinsic>(&call)) {
      auto types = std::vector<Type*>{memory->getRawDest()->getType()};
      if (auto* transfer = llvm::dyn_cast<llvm::MemTransferInst>(memory))
        types.push_back(transfer->getRawSource()->getType());
      types.push_back(builder.getInt32Ty());
      auto* narrow = llvm::Intrinsic::getDeclaration(&module_, memory->getIntrinsicID(), types);
      memory->setArgOperand(2, builder.CreateTrunc(memory->getLength(), builder.getInt32Ty()));
      memory->setCalledFunction(narrow);
    } else if (type->getReturnType()->isPointerTy()) {
      call.mutateType(type->getReturnType());
      as_number(call);
    }
  }

  /// The declaration as the runtime's C++ has it.
  Function& native(Function& function) {
    if (const auto it = narrow_natives_.find(&function); it != narrow_natives_.end()) return *it->second;
    const char* types = types_of(function.getName());
    if (!types) return function;
    auto* wanted = type_of(module_.getContext(), types, false);
    if (wanted == function.getFunctionType()) return function;
    auto* narrowed = Function::Create(wanted, Function::ExternalLinkage, "", &module_);
    narrowed->takeName(&function);
    narrow_natives_[&function] = narrowed;
    return *narrowed;
  }

  /// Arguments as the native function wants them; its result as a number of 64 bits where neutral code has one.
  Value* native_call(IRBuilder<>& builder, Function& function, llvm::ArrayRef<Value*> arguments, Type* result) {
    std::vector<Value*> passed;
    for (unsigned i = 0; i < arguments.size(); ++i) {
      Type* wanted = function.getFunctionType()->getParamType(i);
      passed.push_back(wanted->isPointerTy()               ? address(builder, arguments[i])
                       : wanted != arguments[i]->getType() ? builder.CreateTrunc(arguments[i], wanted)
                                                           : arguments[i]);
    }
    Value* value = builder.CreateCall(function.getFunctionType(), &function, passed);
    if (value->getType()->isPointerTy()) return builder.CreatePtrToInt(value, result);
    return value->getType() != result && !result->isVoidTy() ? builder.CreateZExt(value, result) : value;
  }

  void call_native(CallInst& call, Function& function) {
    IRBuilder<> builder(&call);
    const std::vector<Value*> arguments(call.arg_begin(), call.arg_end());
    Value* value = native_call(builder, native(function), arguments, call.getType());
    if (!call.use_empty()) call.replaceAllUsesWith(value);
    call.eraseFromParent();
  }

  /// A thunk of a native function is called as neutral code: it leads to a function that calls the native one.
  void wrap_native_thunks() {
    for (const auto& name : functions_with_thunks(module_)) {
      auto* function = module_.getFunction(name);
      if (!function || !function->isDeclaration()) continue;
      auto* thunk = module_.getFunction(kThunkPrefix + name);
      const char* types = types_of(name);
      auto* type = types ? type_of(module_.getContext(), types, true)
                         : llvm::cast<FunctionType>(types_.remapType(thunk->getFunctionType()));
      auto* wrapper = Function::Create(type, Function::ExternalLinkage, kWidePrefix + name, &module_);
      IRBuilder<> builder(llvm::BasicBlock::Create(module_.getContext(), "", wrapper));
      std::vector<Value*> arguments;
      for (auto& argument : wrapper->args()) arguments.push_back(&argument);
      Value* value = native_call(builder, native(*function), arguments, type->getReturnType());
      if (type->getReturnType()->isVoidTy())
        builder.CreateRetVoid();
      else
        builder.CreateRet(value);
    }
  }

  llvm::Module& module_;
  const llvm::DataLayout layout_;
  NeutralMemory memory_;
  WideTypes types_;
  WideConstants constants_;
  llvm::DenseMap<Function*, Function*> clones_, narrow_natives_;
};

}  // namespace

llvm::PreservedAnalyses adapt_narrow(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  Narrowing(module).run();
  adapt_globals(module, Addresses::kNarrow);
  if (llvm::verifyModule(module, &llvm::errs())) llvm::report_fatal_error("godwit: adapt_narrow made wrong code");
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
