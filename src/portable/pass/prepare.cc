// What must be so before LLVM simplifies.
//
// No aliases: the C library has hundreds (weak_alias), and a call of one counts as a call through a pointer in CallBase.
//
// No function that doesn't return: exit, abort, longjmp, __cxa_throw do return here, to hand on that the thread's state isn't
// kRunning. LLVM would take away what follows a call of such a function, also where it has found out by itself that none
// of a function's ways ends in a return. So the attribute goes, and an `unreachable` right behind such a call becomes a
// return; what it returns is read by nobody. Promises about returned values (nonnull, a range …) go for the same reason.
//
// No code of the program inlined into library functions that have no points.
//
// No inline assembly, but in functions with GODWIT_ALLOW: said here, before LLVM could take a part that isn't reached away in one
// build and not in another.
#include <llvm/IR/AttributeMask.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/Module.h>

#include <vector>

#include "portable/pass/passes.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

void resolve_aliases(llvm::Module& module) {
  for (auto& alias : llvm::make_early_inc_range(module.aliases())) {
    alias.replaceAllUsesWith(alias.getAliasee());
    auto* target = llvm::dyn_cast<llvm::GlobalObject>(alias.getAliasee()->stripPointerCasts());
    // The start code and the runtime look for names; an alias that is the only bearer of one hands it on.
    if (target && target->hasLocalLinkage() && alias.hasExternalLinkage()) {
      target->takeName(&alias);
      target->setLinkage(llvm::GlobalValue::ExternalLinkage);
    }
    alias.eraseFromParent();
  }
}

const llvm::AttributeMask& of_returned_values() {
  static const llvm::AttributeMask kMask = [] {
    llvm::AttributeMask m;
    for (const auto kind : {llvm::Attribute::NonNull, llvm::Attribute::NoUndef, llvm::Attribute::Dereferenceable,
                            llvm::Attribute::DereferenceableOrNull, llvm::Attribute::Range, llvm::Attribute::Alignment})
      m.addAttribute(kind);
    return m;
  }();
  return kMask;
}

/// An empty one is a barrier for the compiler, and the same on every processor.
void refuse_assembly(const llvm::CallBase& call) {
  const auto* assembly = llvm::dyn_cast<llvm::InlineAsm>(call.getCalledOperand());
  if (assembly && llvm::StringRef(assembly->getAsmString()).find_first_not_of(" \t\n") != llvm::StringRef::npos)
    refuse(call,
           "inline assembly is for one processor; write it in C, keep it out with #ifndef __godwit__, or see "
           "GODWIT_ALLOW in <godwit.h>");
}

/// A library function without points in its loops (kLeaf) must not get the program's code into it, which would lose its points with
/// them: main() in the start code, a call-back of the only caller of pthread_once.
void keep_out_of_leaf(llvm::CallBase& call) {
  if (llvm::isa<llvm::IntrinsicInst>(call) || call.isInlineAsm()) return;
  const auto* callee = call.getCalledFunction();
  if (!callee || !callee->hasFnAttribute(kLeaf)) call.addFnAttr(llvm::Attribute::NoInline);
}

void return_instead(llvm::UnreachableInst* end) {
  auto* type = end->getFunction()->getReturnType();
  llvm::ReturnInst::Create(end->getContext(), type->isVoidTy() ? nullptr : llvm::Constant::getNullValue(type),
                           end->getIterator());
  end->eraseFromParent();  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): the block owns the return
}

void let_return(llvm::Function& function) {
  function.removeFnAttr(llvm::Attribute::NoReturn);
  function.removeRetAttrs(of_returned_values());
  std::vector<llvm::CallBase*> calls;
  for (auto& block : function)
    for (auto& i : block)
      if (auto* call = llvm::dyn_cast<llvm::CallBase>(&i)) calls.push_back(call);
  const bool leaf = function.hasFnAttribute(kLeaf);
  for (auto* call : calls) {
    if (leaf) keep_out_of_leaf(*call);
    if (!function.hasFnAttribute(kAllowed)) refuse_assembly(*call);
    const bool ended = call->doesNotReturn();
    call->removeFnAttr(llvm::Attribute::NoReturn);
    call->removeRetAttrs(of_returned_values());
    auto* end = llvm::dyn_cast_or_null<llvm::UnreachableInst>(call->getNextNode());
    if (ended && end) return_instead(end);
  }
}

}  // namespace

llvm::PreservedAnalyses prepare(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  resolve_aliases(module);
  mark_allowed(module);
  // Calls first ask the function that they call, so functions lose the attribute last.
  for (auto& function : module)
    if (function.doesNotReturn())
      for (auto* user : function.users())
        if (auto* call = llvm::dyn_cast<llvm::CallBase>(user)) call->addFnAttr(llvm::Attribute::NoReturn);
  for (auto& function : module) let_return(function);
  // They change the state word: nothing may be concluded from their bodies, and calls of them must stay calls: lower_exceptions.cc looks for them.
  for (const char* name : {kRaise, kLongjmp})
    if (auto* function = module.getFunction(name); function && !function->isDeclaration()) {
      function->removeFnAttr(llvm::Attribute::AlwaysInline);
      function->addFnAttr(llvm::Attribute::NoInline);
      function->addFnAttr(llvm::Attribute::OptimizeNone);
    }
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
