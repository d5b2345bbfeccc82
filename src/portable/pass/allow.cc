// Functions that are left as they are: GODWIT_ALLOW of <godwit.h>, which is __attribute__((annotate("godwit::allow"))).
//
// Problem: what can't be carried is an error, but its author may know better: a few lines of assembly that count cycles, say,
// or that are the same on each processor that the program is compiled for.
//
// Idea: such a function is one that a thread is never saved in. It gets no adaptation points, no frame is built of it, it is
// not inlined, and what prepare.cc would refuse in it is let through. So nothing of it has to be carried. The price is a rule
// that is checked here: it may call only what can't stop. A call of anything that may come to an adaptation point or to a
// system call would have to be unwound through it, and is refused.
//
// Its assembly is written to each target's code as it is. One that a target doesn't know is an error of that target
// (compiler/lower.cc); --targets leaves targets out.
#include <llvm/IR/Constants.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Module.h>

#include "portable/pass/passes.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

constexpr const char* kAnnotation = "godwit::allow";

/// clang's list of what is annotated: {what, text, file, line, arguments} each.
const llvm::ConstantArray* annotations(const llvm::GlobalVariable& list) {
  return list.hasInitializer() ? llvm::dyn_cast<llvm::ConstantArray>(list.getInitializer()) : nullptr;
}

bool says_allow(const llvm::ConstantStruct& row) {
  const auto* variable = llvm::dyn_cast<llvm::GlobalVariable>(row.getOperand(1)->stripPointerCasts());
  const auto* text = variable && variable->hasInitializer()
                         ? llvm::dyn_cast<llvm::ConstantDataArray>(variable->getInitializer())
                         : nullptr;
  return text && text->isCString() && text->getAsCString() == kAnnotation;
}

}  // namespace

void mark_allowed(llvm::Module& module) {
  auto* list = module.getNamedGlobal("llvm.global.annotations");
  if (!list) return;
  if (const auto* rows = annotations(*list))
    for (const auto& operand : rows->operands()) {
      const auto* row = llvm::dyn_cast<llvm::ConstantStruct>(operand);
      auto* function = row ? llvm::dyn_cast<llvm::Function>(row->getOperand(0)->stripPointerCasts()) : nullptr;
      if (!function || !says_allow(*row)) continue;
      function->addFnAttr(kAllowed);
      function->addFnAttr(kLeaf);
      function->removeFnAttr(llvm::Attribute::AlwaysInline);
      function->addFnAttr(llvm::Attribute::NoInline);
    }
  list->eraseFromParent();  // it is for tools; nothing of it belongs into a program
}

llvm::PreservedAnalyses check_allowed(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  const MayStop may_stop(module);
  for (auto& function : module) {
    if (!function.hasFnAttribute(kAllowed)) continue;
    for (auto& block : function)
      for (auto& i : block)
        if (const auto* call = llvm::dyn_cast<llvm::CallBase>(&i); call && may_stop.call(*call))
          refuse(*call, "a function with GODWIT_ALLOW isn't left for a move, so it may call nothing that can stop");
  }
  return llvm::PreservedAnalyses::all();
}

}  // namespace godwit::portable
