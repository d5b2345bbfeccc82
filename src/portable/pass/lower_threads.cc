// Thread-local variables as memory of the arena.
//
// Problem: native thread-local storage lies where each target's loader puts it, at offsets of its own.
//
// Idea: all modules are here, so all thread-local variables are known: each gets an offset in one block, and an address is
// __godwit_tp - size + offset. The C library allocates the block with a thread (start.c, __copy_tls) and copies the initial
// content from a global that is made here; `godwit_program` says how large it is (lay_out.cc reads kTlsImage).
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/ReplaceConstant.h>
#include <llvm/Transforms/Utils/ModuleUtils.h>

#include <vector>

#include "portable/pass/passes.h"
#include "portable/pass/support.h"
#include "portable/pass/tls_image.h"

namespace godwit::portable {
namespace {

using llvm::GlobalVariable;

struct Block {
  std::vector<uint64_t> offsets;
  uint64_t size = 0;
  llvm::Align align = llvm::Align(16);
};

Block plan(const std::vector<GlobalVariable*>& variables, const llvm::DataLayout& layout) {
  Block block;
  for (const auto* v : variables) {
    const auto align = layout.getValueOrABITypeAlignment(v->getAlign(), v->getValueType());
    block.align = std::max(block.align, align);
    block.size = llvm::alignTo(block.size, align);
    block.offsets.push_back(block.size);
    block.size += layout.getTypeAllocSize(v->getValueType());
  }
  block.size = llvm::alignTo(block.size, block.align);
  return block;
}

/// The initial content: a packed structure whose gaps are spelled out.
void make_image(llvm::Module& module, const std::vector<GlobalVariable*>& variables, const Block& block) {
  auto& context = module.getContext();
  const auto& layout = module.getDataLayout();
  std::vector<llvm::Constant*> parts;
  uint64_t at = 0;
  const auto pad = [&](uint64_t to) {
    if (to > at)
      parts.push_back(llvm::ConstantAggregateZero::get(llvm::ArrayType::get(llvm::Type::getInt8Ty(context), to - at)));
    at = to;
  };
  for (size_t i = 0; i < variables.size(); ++i) {
    pad(block.offsets[i]);
    auto* type = variables[i]->getValueType();
    parts.push_back(variables[i]->hasInitializer() ? variables[i]->getInitializer()
                                                   : llvm::Constant::getNullValue(type));
    at += layout.getTypeAllocSize(type);
  }
  pad(block.size);
  auto* content = llvm::ConstantStruct::getAnon(context, parts, true);
  auto* image =
      new GlobalVariable(module, content->getType(), true, GlobalVariable::InternalLinkage, content, kTlsImage);
  image->setAlignment(block.align);
  llvm::appendToUsed(module, {image});  // only the program's description will refer to it
}

void replace_uses(GlobalVariable& variable, int64_t offset, Abi& abi) {
  // Uses are in instructions only (most are llvm.threadlocal.address), but for constant expressions over such a variable.
  llvm::convertUsersOfConstantsToInstructions({&variable});
  while (!variable.use_empty()) {
    llvm::Use& use = *variable.use_begin();
    auto* user = llvm::cast<llvm::Instruction>(use.getUser());
    auto* phi = llvm::dyn_cast<llvm::PHINode>(user);
    llvm::IRBuilder<> builder(phi ? phi->getIncomingBlock(use)->getTerminator() : user);
    llvm::Value* pointer = builder.CreateLoad(abi.pointer(), abi.thread_pointer());
    llvm::Value* address = builder.CreateGEP(builder.getInt8Ty(), pointer,
                                             builder.getInt64(static_cast<uint64_t>(offset)), variable.getName());
    const auto* intrinsic = llvm::dyn_cast<llvm::IntrinsicInst>(user);
    if (intrinsic && intrinsic->getIntrinsicID() == llvm::Intrinsic::threadlocal_address) {
      user->replaceAllUsesWith(address);
      user->eraseFromParent();
    } else {
      use.set(address);
    }
  }
}

/// The runtime's own words (__godwit_tp …) are native: their addresses differ from machine to machine, so none may become a
/// value that a frame keeps. As a constant each use has its own.
void name_native_words(llvm::Module& module) {
  for (auto& function : module)
    for (auto& block : function)
      for (auto& i : llvm::make_early_inc_range(block)) {
        auto* intrinsic = llvm::dyn_cast<llvm::IntrinsicInst>(&i);
        if (!intrinsic || intrinsic->getIntrinsicID() != llvm::Intrinsic::threadlocal_address) continue;
        auto* word = llvm::dyn_cast<GlobalVariable>(intrinsic->getArgOperand(0));
        if (!word || !is_native(*word)) continue;
        intrinsic->replaceAllUsesWith(word);
        intrinsic->eraseFromParent();
      }
}

}  // namespace

llvm::PreservedAnalyses lower_threads(llvm::Module& module, llvm::ModuleAnalysisManager&) {
  name_native_words(module);
  std::vector<GlobalVariable*> variables;
  for (auto& v : module.globals()) {
    if (!v.isThreadLocal() || is_native(v)) continue;
    if (v.isDeclaration()) {
      if (!v.use_empty())
        module.getContext().emitError("thread-local variable '" + v.getName() + "' is declared but nowhere defined");
      continue;
    }
    variables.push_back(&v);
  }
  if (variables.empty()) return llvm::PreservedAnalyses::none();
  const Block block = plan(variables, module.getDataLayout());
  Abi abi(module);
  make_image(module, variables, block);
  for (size_t i = 0; i < variables.size(); ++i) {
    replace_uses(*variables[i], static_cast<int64_t>(block.offsets[i]) - static_cast<int64_t>(block.size), abi);
    variables[i]->eraseFromParent();
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace godwit::portable
