#include "portable/pass/support.h"

#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/MDBuilder.h>

#include <vector>

namespace godwit::portable {

llvm::GlobalVariable* Abi::word(const char* name, llvm::Type* type, bool of_thread) {
  auto* variable = module_.getNamedGlobal(name);
  if (!variable) {
    variable = new llvm::GlobalVariable(module_, type, false, llvm::GlobalValue::ExternalLinkage, nullptr, name);
  }
  // The program is linked statically: its threads' words are at a constant distance from the thread register.
  if (of_thread) variable->setThreadLocalMode(llvm::GlobalValue::LocalExecTLSModel);
  variable->setDSOLocal(true);
  return variable;
}

namespace {

llvm::FunctionCallee cold(llvm::FunctionCallee callee) {
  auto* function = llvm::cast<llvm::Function>(callee.getCallee());
  function->addFnAttr(llvm::Attribute::Cold);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  return callee;
}

}  // namespace

llvm::FunctionCallee Abi::poll() {
  return cold(module_.getOrInsertFunction("__godwit_poll", llvm::Type::getVoidTy(context_)));
}
llvm::FunctionCallee Abi::save() {
  auto* i64 = llvm::Type::getInt64Ty(context_);
  return cold(module_.getOrInsertFunction("__godwit_save", pointer(), i64, i64));
}
llvm::FunctionCallee Abi::pop() { return cold(module_.getOrInsertFunction("__godwit_pop", pointer())); }

llvm::Value* Abi::load_request(llvm::IRBuilder<>& builder) {
  auto* load = builder.CreateAlignedLoad(builder.getInt32Ty(), request(), llvm::Align(4));
  load->setAtomic(llvm::AtomicOrdering::Monotonic);
  return load;
}

llvm::Value* Abi::load_state(llvm::IRBuilder<>& builder) {
  return builder.CreateAlignedLoad(builder.getInt32Ty(), state(), llvm::Align(4));
}

bool is_native(const llvm::GlobalValue& value) {
  return value.isDeclaration() && value.getName().starts_with("__godwit_");
}

void return_left(llvm::IRBuilder<>& builder) {
  auto* type = builder.GetInsertBlock()->getParent()->getReturnType();
  auto* end = type->isVoidTy() ? builder.CreateRetVoid() : builder.CreateRet(llvm::Constant::getNullValue(type));
  end->setMetadata(kLeaves, llvm::MDNode::get(builder.getContext(), {}));
}

llvm::MDNode* unlikely(llvm::LLVMContext& context) { return llvm::MDBuilder(context).createBranchWeights(1, 100000); }

void refuse(const llvm::Instruction& where, const llvm::Twine& what) {
  const llvm::Function& function = *where.getFunction();
  function.getContext().diagnose(
      llvm::DiagnosticInfoUnsupported(function, what, llvm::DiagnosticLocation(where.getDebugLoc()), llvm::DS_Error));
}

namespace {

/// The function that is called by name, of whatever type the call takes it to be.
const llvm::Function* called_by_name(const llvm::CallBase& call) {
  return llvm::dyn_cast<llvm::Function>(call.getCalledOperand());
}

std::vector<const llvm::Function*> callers_through_pointers(const llvm::Module& module) {
  std::vector<const llvm::Function*> callers;
  for (const llvm::Function& f : module)
    for (const llvm::BasicBlock& block : f)
      for (const llvm::Instruction& i : block)
        if (const auto* c = llvm::dyn_cast<llvm::CallBase>(&i); c && !c->isInlineAsm() && !called_by_name(*c))
          callers.push_back(&f);
  return callers;
}

}  // namespace

bool Reach::call(const llvm::CallBase& call) const {
  if (llvm::isa<llvm::IntrinsicInst>(call) || call.isInlineAsm()) return false;
  const llvm::Function* callee = called_by_name(call);
  return callee ? functions_.contains(callee) : by_pointer_;
}

Reach::Reach(llvm::Module& module, std::initializer_list<const char*> roots) {
  const auto by_pointer = callers_through_pointers(module);
  std::vector<const llvm::Function*> work;
  const auto add = [&](const llvm::Function* f) {
    if (functions_.insert(f).second) work.push_back(f);
  };
  for (const char* root : roots)
    if (const auto* f = module.getFunction(root); f && !f->use_empty()) add(f);
  while (!work.empty()) {
    const llvm::Function* f = work.back();
    work.pop_back();
    for (const llvm::Use& use : f->uses()) {
      const auto* c = llvm::dyn_cast<llvm::CallBase>(use.getUser());
      if (c && c->isCallee(&use)) {
        add(c->getFunction());
      } else if (!by_pointer_) {
        by_pointer_ = true;
        for (const auto* caller : by_pointer) add(caller);
      }
    }
  }
}

}  // namespace godwit::portable
