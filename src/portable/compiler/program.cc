#include "portable/compiler/program.h"

#include <llvm/IR/Constants.h>

#include "portable/abi.h"
#include "portable/pass/tls_image.h"

namespace godwit::portable {
namespace {

llvm::Constant* bytes(llvm::LLVMContext& context, std::string_view text, size_t size) {
  std::string padded(text.substr(0, size - 1));
  padded.resize(size, '\0');
  return llvm::ConstantDataArray::getString(context, padded, false);
}

llvm::Constant* address_of(llvm::Constant* value) {
  return llvm::ConstantExpr::getPtrToInt(value, llvm::Type::getInt64Ty(value->getContext()));
}

/// A symbol of the linker script.
llvm::Constant* boundary(llvm::Module& module, const char* name) {
  return address_of(module.getOrInsertGlobal(name, llvm::Type::getInt8Ty(module.getContext())));
}

}  // namespace

void describe_program(llvm::Module& module, std::string_view name, const Instrumented& instrumented) {
  auto& context = module.getContext();
  auto* i64 = llvm::Type::getInt64Ty(context);
  const auto number = [&](uint64_t n) -> llvm::Constant* { return llvm::ConstantInt::get(i64, n); };
  auto* tls = module.getNamedGlobal(kTlsImage);
  const uint64_t tls_size = tls ? module.getDataLayout().getTypeAllocSize(tls->getValueType()).getFixedValue() : 0;
  const uint64_t tls_align = tls ? tls->getAlign().valueOrOne().value() : 16;
  auto* signature = llvm::ConstantDataArray::get(context, llvm::ArrayRef(instrumented.signature));
  // The order and sizes are those of struct godwit_program.
  auto* content = llvm::ConstantStruct::getAnon(
      {llvm::ConstantDataArray::getString(context, "GODWITP1", false), signature, bytes(context, "lp64le", 16),
       bytes(context, name, 64), boundary(module, "__godwit_data_start"), boundary(module, "__godwit_data_end"),
       number(instrumented.arena), number(instrumented.arena_size), number(tls_size), number(tls_align),
       tls ? address_of(tls) : number(0), number(instrumented.thunks.size())});
  const auto size = module.getDataLayout().getTypeAllocSize(content->getType()).getFixedValue();
  if (size != sizeof(struct godwit_program)) llvm::report_fatal_error("godwit_program is not what abi.h says");
  auto* existing = module.getNamedGlobal("godwit_program");
  auto* program =
      new llvm::GlobalVariable(module, content->getType(), true, llvm::GlobalVariable::ExternalLinkage, content);
  program->setAlignment(llvm::Align(16));
  program->setSection(".rodata.godwit_program");
  if (existing) {
    existing->replaceAllUsesWith(program);
    existing->eraseFromParent();
  }
  program->setName("godwit_program");
}

}  // namespace godwit::portable
