// Attributes that stop to be true when a function may return early, or be entered with arguments that mean nothing.
//
// `nonnull`, `noundef`, `dereferenceable`, `align`, `range`, `returned` say something about values: a caller that is being
// restored passes poison. `memory`, `nosync`, `willreturn` … say that a function neither touches the state word nor leaves
// early. `noreturn` was taken away before LLVM's simplification already (add_lowering), since code behind it would be lost.
#include <llvm/IR/AttributeMask.h>

#include "portable/pass/frames.h"

namespace godwit::portable {
namespace {

using llvm::Attribute;

const llvm::AttributeMask& of_values() {
  static const llvm::AttributeMask mask = [] {
    llvm::AttributeMask m;
    for (const auto kind :
         {Attribute::NonNull, Attribute::NoUndef, Attribute::Dereferenceable, Attribute::DereferenceableOrNull,
          Attribute::ReadNone, Attribute::ReadOnly, Attribute::WriteOnly, Attribute::NoCapture, Attribute::NoAlias,
          Attribute::Returned, Attribute::Range, Attribute::Alignment, Attribute::Writable, Attribute::NoFPClass,
          Attribute::Initializes, Attribute::NoFree, Attribute::AllocatedPointer})
      m.addAttribute(kind);
    return m;
  }();
  return mask;
}

const llvm::AttributeMask& of_functions() {
  static const llvm::AttributeMask mask = [] {
    llvm::AttributeMask m;
    for (const auto kind : {Attribute::Memory, Attribute::WillReturn, Attribute::NoSync, Attribute::NoFree,
                            Attribute::MustProgress, Attribute::NoReturn, Attribute::Speculatable, Attribute::NoRecurse,
                            Attribute::NoCallback, Attribute::AllocKind, Attribute::AllocSize})
      m.addAttribute(kind);
    m.addAttribute("alloc-family");
    return m;
  }();
  return mask;
}

llvm::AttributeList without(llvm::LLVMContext& context, llvm::AttributeList list, unsigned parameters) {
  list = list.removeFnAttributes(context, of_functions()).removeRetAttributes(context, of_values());
  for (unsigned i = 0; i < parameters; ++i) list = list.removeParamAttributes(context, i, of_values());
  return list;
}

}  // namespace

void drop_promises(llvm::CallBase& call) {
  call.setAttributes(without(call.getContext(), call.getAttributes(), static_cast<unsigned>(call.arg_size())));
  // What an early return gives is poison: nothing may be concluded from it before the state word was looked at.
  for (const unsigned kind : {llvm::LLVMContext::MD_range, llvm::LLVMContext::MD_nonnull, llvm::LLVMContext::MD_noundef,
                              llvm::LLVMContext::MD_align, llvm::LLVMContext::MD_dereferenceable})
    call.setMetadata(kind, nullptr);
  if (auto* plain = llvm::dyn_cast<llvm::CallInst>(&call); plain && !plain->isMustTailCall())
    plain->setTailCallKind(llvm::CallInst::TCK_None);
}

void drop_promises(llvm::Function& function) {
  function.setAttributes(
      without(function.getContext(), function.getAttributes(), static_cast<unsigned>(function.arg_size())));
}

}  // namespace godwit::portable
