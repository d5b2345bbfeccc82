// Globals as bytes.
//
// A target's data layout would put the members of a global where it likes, and in its own byte order. So each becomes an array of
// bytes, computed here by the neutral layout. What isn't known before the linker has worked, an address, stays a word in it;
// the linker writes such a word in the processor's order. All these places are listed in a section, and when the
// executable is written they are turned over (compiler/swap_words.cc).
#include <llvm/IR/Constants.h>
#include <llvm/IR/Operator.h>

#include "portable/pass/adapt.h"

namespace godwit::portable {
namespace {

using llvm::Constant;
using llvm::ConstantExpr;
using llvm::DataLayout;
using llvm::GlobalVariable;
using llvm::Type;

/// A global's content: bytes, and words that the linker fills in, in ascending order.
class Content {
 public:
  struct Word {
    uint64_t offset;
    uint64_t size;
    Constant* value;
  };

  Content(Constant& whole, const DataLayout& layout, Addresses addresses)
      : layout_(layout), addresses_(addresses), bytes_(layout.getTypeAllocSize(whole.getType()).getFixedValue()) {
    add(whole, 0);
  }

  [[nodiscard]] const std::vector<Word>& words() const { return words_; }

  /// Pieces of bytes with the words between them.
  Constant* as_constant(llvm::LLVMContext& context) const {
    std::vector<Constant*> pieces;
    uint64_t done = 0;
    const auto add_bytes = [&](uint64_t end) {
      if (end > done)
        pieces.push_back(llvm::ConstantDataArray::get(context, llvm::ArrayRef(bytes_).slice(done, end - done)));
    };
    for (const Word& word : words_) {
      add_bytes(word.offset);
      pieces.push_back(word.value);
      done = word.offset + word.size;
    }
    if (words_.empty() && std::ranges::all_of(bytes_, [](uint8_t byte) { return byte == 0; }))
      return llvm::ConstantAggregateZero::get(llvm::ArrayType::get(Type::getInt8Ty(context), bytes_.size()));
    add_bytes(bytes_.size());
    if (words_.empty()) return pieces.front();
    return llvm::ConstantStruct::getAnon(context, pieces, true);
  }

 private:
  void put(const llvm::APInt& value, uint64_t offset) {
    for (unsigned bit = 0; bit < value.getBitWidth(); bit += 8)
      bytes_[offset + bit / 8] =
          static_cast<uint8_t>(value.extractBitsAsZExtValue(std::min(8u, value.getBitWidth() - bit), bit));
  }

  void add(Constant& constant, uint64_t offset) {
    if (constant.isNullValue() || llvm::isa<llvm::UndefValue>(constant)) return;
    if (const auto* integer = llvm::dyn_cast<llvm::ConstantInt>(&constant)) return put(integer->getValue(), offset);
    if (const auto* number = llvm::dyn_cast<llvm::ConstantFP>(&constant))
      return put(number->getValueAPF().bitcastToAPInt(), offset);
    if (const auto* data = llvm::dyn_cast<llvm::ConstantDataSequential>(&constant)) {
      const uint64_t size = data->getElementByteSize();
      for (unsigned i = 0; i < data->getNumElements(); ++i) add(*data->getElementAsConstant(i), offset + i * size);
      return;
    }
    if (auto* structure = llvm::dyn_cast<llvm::ConstantStruct>(&constant)) {
      const auto* layout = layout_.getStructLayout(structure->getType());
      for (unsigned i = 0; i < structure->getNumOperands(); ++i)
        add(*structure->getOperand(i), offset + layout->getElementOffset(i).getFixedValue());
      return;
    }
    if (llvm::isa<llvm::ConstantAggregate>(constant)) {
      const uint64_t size = layout_.getTypeAllocSize(constant.getOperand(0)->getType());
      for (unsigned i = 0; i < constant.getNumOperands(); ++i)
        add(*llvm::cast<Constant>(constant.getOperand(i)), offset + i * size);
      return;
    }
    add_word(in_bytes(&constant, layout_), offset);
  }

  void add_word(Constant* value, uint64_t offset) {
    // A constant address, such as (void*)-1, is none of the linker's.
    if (auto* cast = llvm::dyn_cast<ConstantExpr>(value); cast && cast->getOpcode() == llvm::Instruction::IntToPtr)
      if (const auto* number = llvm::dyn_cast<llvm::ConstantInt>(cast->getOperand(0)))
        return put(number->getValue().zextOrTrunc(64), offset);
    uint64_t size = layout_.getTypeStoreSize(value->getType());
    if (value->getType()->isPointerTy())
      value = ConstantExpr::getPtrToInt(value, Type::getInt64Ty(value->getContext()));
    if (addresses_ == Addresses::kNarrow && size == 8) {
      value = ConstantExpr::getTrunc(value, Type::getInt32Ty(value->getContext()));
      size = 4;
    }
    words_.push_back({offset, size, value});
  }

  const DataLayout& layout_;
  Addresses addresses_;
  std::vector<uint8_t> bytes_;
  std::vector<Word> words_;
};

/// The same variable, of bytes, without content.
GlobalVariable* as_bytes(GlobalVariable& old, const DataLayout& layout) {
  auto* type = llvm::ArrayType::get(Type::getInt8Ty(old.getContext()), layout.getTypeAllocSize(old.getValueType()));
  auto* fresh = new GlobalVariable(*old.getParent(), type, old.isConstant(), old.getLinkage(),
                                   llvm::ConstantAggregateZero::get(type), "", &old, old.getThreadLocalMode());
  fresh->copyAttributesFrom(&old);
  fresh->setAlignment(layout.getValueOrABITypeAlignment(old.getAlign(), old.getValueType()));
  return fresh;
}

Constant* address(GlobalVariable& variable, uint64_t offset) {
  auto* i64 = Type::getInt64Ty(variable.getContext());
  return ConstantExpr::getAdd(ConstantExpr::getPtrToInt(&variable, i64), llvm::ConstantInt::get(i64, offset));
}

void list_words(llvm::Module& module, const std::vector<Constant*>& list) {
  if (list.empty()) return;
  auto* type = llvm::ArrayType::get(list.front()->getType(), list.size());
  auto* table = new GlobalVariable(module, type, true, GlobalVariable::InternalLinkage,
                                   llvm::ConstantArray::get(type, list), "godwit.swaps");
  table->setSection(kSwapSection);
  table->setAlignment(llvm::Align(8));
}

}  // namespace

Constant* in_bytes(Constant* constant, const DataLayout& layout) {
  if (llvm::isa<llvm::GlobalValue>(constant) || constant->getNumOperands() == 0) return constant;
  if (const auto* place = llvm::dyn_cast<llvm::GEPOperator>(constant)) {
    llvm::APInt offset(64, 0);
    if (!place->accumulateConstantOffset(layout, offset))
      llvm::report_fatal_error("godwit: an address in a constant isn't one");
    auto* base = in_bytes(llvm::cast<Constant>(place->getOperand(0)), layout);
    if (offset.isZero()) return base;
    llvm::IRBuilder<> builder(constant->getContext());
    return llvm::cast<Constant>(builder.CreateConstGEP1_64(builder.getInt8Ty(), base, offset.getZExtValue()));
  }
  std::vector<Constant*> operands;
  bool changed = false;
  for (auto& operand : constant->operands()) {
    operands.push_back(in_bytes(llvm::cast<Constant>(operand), layout));
    changed = changed || operands.back() != operand;
  }
  if (!changed) return constant;
  if (auto* expression = llvm::dyn_cast<ConstantExpr>(constant)) return expression->getWithOperands(operands);
  if (auto* structure = llvm::dyn_cast<llvm::StructType>(constant->getType()))
    return llvm::ConstantStruct::get(structure, operands);
  if (auto* array = llvm::dyn_cast<llvm::ArrayType>(constant->getType()))
    return llvm::ConstantArray::get(array, operands);
  return llvm::ConstantVector::get(operands);
}

void adapt_globals(llvm::Module& module, Addresses addresses) {
  const auto& layout = module.getDataLayout();
  std::vector<std::pair<GlobalVariable*, GlobalVariable*>> pairs;
  for (auto& variable : llvm::make_early_inc_range(module.globals()))
    if (!variable.isDeclaration() && !variable.getName().starts_with("llvm."))
      pairs.emplace_back(&variable, as_bytes(variable, layout));
  // All names first: the content of one refers to others.
  for (auto& [old, fresh] : pairs) {
    fresh->takeName(old);
    old->replaceAllUsesWith(fresh);
  }
  std::vector<Constant*> words;
  std::vector<std::pair<GlobalVariable*, std::vector<Content::Word>>> places;
  for (auto& [old, fresh] : pairs) {
    const Content content(*old->getInitializer(), layout, addresses);
    Constant* bytes = content.as_constant(module.getContext());
    GlobalVariable* final = fresh;
    if (bytes->getType() != fresh->getValueType()) {
      final = new GlobalVariable(module, bytes->getType(), fresh->isConstant(), fresh->getLinkage(), bytes, "", fresh,
                                 fresh->getThreadLocalMode());
      final->copyAttributesFrom(fresh);
      final->takeName(fresh);
      fresh->replaceAllUsesWith(final);
      old->eraseFromParent();
      fresh->eraseFromParent();
    } else {
      fresh->setInitializer(bytes);
      old->eraseFromParent();
    }
    // What is loaded from it isn't what the module says: nothing may be computed from that.
    if (!content.words().empty() && addresses == Addresses::kWide) final->setExternallyInitialized(true);
    places.emplace_back(final, content.words());
  }
  for (auto& [variable, list] : places)
    for (const auto& word : list) {
      words.push_back(address(*variable, word.offset));
      words.push_back(llvm::ConstantInt::get(Type::getInt64Ty(module.getContext()), word.size));
    }
  if (addresses == Addresses::kWide) list_words(module, words);
}

}  // namespace godwit::portable
