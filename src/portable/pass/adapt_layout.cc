// What a data layout decides, as numbers of bytes: members of structures, elements of arrays, the size of variables.
//
// The neutral data layout is in force here for the last time. Behind this nothing of a function depends on it, but for the sizes
// of what is loaded and stored, which both adapters see to.
#include <llvm/Analysis/Utils/Local.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/Instructions.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

#include <algorithm>

#include "portable/pass/adapt.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

using llvm::Function;
using llvm::Instruction;
using llvm::IRBuilder;
using llvm::Value;

void rebuild_constants(Instruction& i, const llvm::DataLayout& layout) {
  const auto* call = llvm::dyn_cast<llvm::CallBase>(&i);
  for (auto& use : i.operands()) {
    auto* constant = llvm::dyn_cast<llvm::Constant>(use.get());
    if (!constant || (call && call->isCallee(&use))) continue;
    if (is_native_word(constant) && llvm::getLoadStorePointerOperand(&i) != constant)
      llvm::report_fatal_error("godwit: the address of a native word is used in '" + i.getFunction()->getName() + "'");
    use.set(in_bytes(constant, layout));
  }
}

/// What GODWIT_ALLOW has let through. It would see memory as the processor does, and pointers as neutral code doesn't.
void refuse_assembly(const llvm::CallBase& call) {
  const auto* assembly = llvm::dyn_cast<llvm::InlineAsm>(call.getCalledOperand());
  if (assembly && !llvm::StringRef(assembly->getAsmString()).trim().empty())
    refuse(call, "inline assembly can't be made for s390x and armhf; leave them out of --targets");
}

void adapt_address(llvm::GetElementPtrInst& address, const llvm::DataLayout& layout) {
  if (address.getSourceElementType()->isIntegerTy(8)) return;
  IRBuilder<> builder(&address);
  Value* offset = llvm::emitGEPOffset(&builder, layout, &address);
  replace(address,
          builder.CreateGEP(builder.getInt8Ty(), address.getPointerOperand(), offset, "", address.getNoWrapFlags()));
}

void adapt_variable(llvm::AllocaInst& variable, const llvm::DataLayout& layout) {
  auto* type = variable.getAllocatedType();
  if (type->isIntegerTy(8)) return;
  variable.setAlignment(std::max(variable.getAlign(), layout.getABITypeAlign(type)));
  variable.setAllocatedType(
      llvm::ArrayType::get(llvm::Type::getInt8Ty(variable.getContext()), layout.getTypeAllocSize(type)));
}

void separate(llvm::PHINode& phi) {
  for (auto* user : llvm::make_early_inc_range(phi.users())) {
    auto* load = llvm::dyn_cast<llvm::LoadInst>(user);
    if (!load || !load->isSimple() || load->getParent() != phi.getParent() ||
        std::any_of(phi.getParent()->begin(), load->getIterator(), [](auto& i) { return i.mayWriteToMemory(); }))
      llvm::report_fatal_error("godwit: the address of a native word has become a value in '" +
                               phi.getFunction()->getName() + "'");
    auto* values = llvm::PHINode::Create(load->getType(), phi.getNumIncomingValues(), "", phi.getIterator());
    llvm::SmallDenseMap<llvm::BasicBlock*, Value*> loaded;  // a block may come in twice
    for (unsigned i = 0; i < phi.getNumIncomingValues(); ++i) {
      Value*& value = loaded[phi.getIncomingBlock(i)];
      if (!value) {
        IRBuilder<> builder(phi.getIncomingBlock(i)->getTerminator());
        value = builder.CreateAlignedLoad(load->getType(), phi.getIncomingValue(i), load->getAlign());
      }
      values->addIncoming(value, phi.getIncomingBlock(i));
    }
    replace(*load, values);
  }
  phi.eraseFromParent();
}

}  // namespace

bool is_native_word(const Value* pointer) {
  const auto* variable = llvm::dyn_cast<llvm::GlobalVariable>(pointer);
  return variable && is_native(*variable);
}

void replace(Instruction& old, Value* fresh) {
  fresh->takeName(&old);
  old.replaceAllUsesWith(fresh);
  old.eraseFromParent();
}

void separate_native_words(Function& function) {
  std::vector<llvm::PHINode*> mixed;
  for (auto& block : function)
    for (auto& phi : block.phis())
      if (std::ranges::any_of(phi.incoming_values(), [](const Value* v) { return is_native_word(v); }))
        mixed.push_back(&phi);
  if (!mixed.empty()) llvm::SplitAllCriticalEdges(function);  // a load only on its own way
  for (auto* phi : mixed) separate(*phi);
}

void count_in_bytes(Function& function, const llvm::DataLayout& layout) {
  std::vector<Instruction*> all;
  for (auto& block : function)
    for (auto& i : block) all.push_back(&i);
  for (auto* i : all) {
    if (const auto* call = llvm::dyn_cast<llvm::CallBase>(i)) refuse_assembly(*call);
    rebuild_constants(*i, layout);
    if (auto* address = llvm::dyn_cast<llvm::GetElementPtrInst>(i))
      adapt_address(*address, layout);
    else if (auto* variable = llvm::dyn_cast<llvm::AllocaInst>(i))
      adapt_variable(*variable, layout);
  }
}

}  // namespace godwit::portable
