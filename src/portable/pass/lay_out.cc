// Everything a program can point at gets the same address on every target.
//
// Functions: code differs in size, so the address of a function is that of its thunk, a jump in a table of its own with a
// fixed stride. Calls by name go to the function itself. A thunk's symbol is kThunkPrefix and the function's name; the target
// side (compiler/lower.cc) writes the jumps, in the order of functions_with_thunks().
//
// Globals: each target's back end would sort them into .data, .bss, .rodata by its own rules and alignments. Here all get
// one of three sections and an explicit alignment, so that they follow each other in the module's order at the same distances
// on each target; the linker puts the sections at fixed addresses. Constants are apart: they aren't part of an image.
// Zeros are apart too: they take no room in the file.
//
// What a back end makes itself (constant pools, jump tables) stays where it likes: nothing of the program points at it. Its
// pipeline must not add or merge globals: only function passes run after this one.
#include <llvm/IR/Constants.h>

#include <vector>

#include "portable/pass/passes.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

using llvm::Function;
using llvm::GlobalVariable;

/// Uses of a function's address, not as what is called.
std::vector<llvm::Use*> address_uses(Function& function) {
  std::vector<llvm::Use*> uses;
  for (auto& use : function.uses()) {
    const auto* call = llvm::dyn_cast<llvm::CallBase>(use.getUser());
    if (!call || !call->isCallee(&use)) uses.push_back(&use);
  }
  return uses;
}

void replace_address(Function& function, Function& thunk, const std::vector<llvm::Use*>& uses) {
  llvm::DenseSet<llvm::Constant*> constants;
  for (auto* use : uses) {
    auto* constant = llvm::dyn_cast<llvm::Constant>(use->getUser());
    if (constant && !llvm::isa<llvm::GlobalValue>(constant))
      constants.insert(constant);  // several uses may be in one
    else
      use->set(&thunk);
  }
  for (auto* constant : constants) constant->handleOperandChange(&function, &thunk);
}

void make_thunk(Function& function) {
  const auto uses = address_uses(function);
  if (uses.empty()) return;
  if (function.hasLocalLinkage() || function.hasLinkOnceLinkage()) function.setLinkage(Function::ExternalLinkage);
  function.setDSOLocal(true);
  auto* thunk = Function::Create(function.getFunctionType(), Function::ExternalLinkage,
                                 kThunkPrefix + function.getName(), function.getParent());
  thunk->setDSOLocal(true);
  replace_address(function, *thunk, uses);
}

void place(GlobalVariable& variable) {
  const auto& layout = variable.getParent()->getDataLayout();
  if (variable.hasPrivateLinkage()) variable.setLinkage(GlobalVariable::InternalLinkage);  // a symbol to compare
  variable.setAlignment(layout.getValueOrABITypeAlignment(variable.getAlign(), variable.getValueType()));
  variable.setUnnamedAddr(GlobalVariable::UnnamedAddr::None);  // else equal constants may be merged
  variable.setComdat(nullptr);
  variable.setSection(variable.isConstant()                      ? kConstantSection
                      : variable.getInitializer()->isNullValue() ? kZeroSection
                                                                 : kDataSection);
}

}  // namespace

std::vector<std::string> functions_with_thunks(const llvm::Module& module) {
  std::vector<std::string> names;
  for (const Function& f : module)
    if (llvm::StringRef name = f.getName(); name.consume_front(kThunkPrefix)) names.push_back(name.str());
  return names;
}

llvm::PreservedAnalyses lay_out(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  std::vector<Function*> functions;
  for (Function& f : module)
    if (!f.isIntrinsic() && !f.getName().starts_with(kThunkPrefix)) functions.push_back(&f);
  // llvm.used and the like name functions without taking their address.
  for (const char* list : {"llvm.used", "llvm.compiler.used"})
    if (auto* variable = module.getNamedGlobal(list)) variable->eraseFromParent();
  for (Function* f : functions) make_thunk(*f);
  for (auto& variable : module.globals())
    if (!variable.isDeclaration() && !variable.getName().starts_with("llvm.")) place(variable);
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
