// One load or store of neutral memory as several instructions of a big-endian processor.
//
// What has one byte is the same. Integers of 2, 4, 8 and 16 bytes are turned over; s390x does that while it loads or stores
// (lrvg, strvg). Floating-point numbers and pointers go through the integer of their size. Other integers (24 bits of a bit field)
// are put together byte by byte. Structures, arrays and vectors are done a member at a time, at the places of the neutral data
// layout.
#include <llvm/IR/Intrinsics.h>

#include "portable/pass/adapt.h"

namespace godwit::portable {
namespace {

using llvm::Align;
using llvm::Instruction;
using llvm::IRBuilder;
using llvm::Type;
using llvm::Value;

bool is_whole(unsigned bits) { return bits == 8 || bits == 16 || bits == 32 || bits == 64 || bits == 128; }

/// Metadata that stays true of a part, and of the same bytes as another type.
void keep(Instruction& made, const Instruction& like) {
  made.copyMetadata(like, {llvm::LLVMContext::MD_tbaa, llvm::LLVMContext::MD_alias_scope, llvm::LLVMContext::MD_noalias,
                           llvm::LLVMContext::MD_access_group, llvm::LLVMContext::MD_invariant_load});
}

Value* at(IRBuilder<>& builder, Value* base, uint64_t offset) {
  return offset ? builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), base, offset) : base;
}

Value* load_bits(IRBuilder<>& builder, Type* type, Value* from, Align align, const Instruction& like) {
  auto* load = builder.CreateAlignedLoad(type, from, align, like.isVolatile());
  keep(*load, like);
  return load;
}

void store_bits(IRBuilder<>& builder, Value* value, Value* to, Align align, const Instruction& like) {
  keep(*builder.CreateAlignedStore(value, to, align, like.isVolatile()), like);
}

/// A vector of bits, the first of them the lowest of an integer.
llvm::IntegerType* packed(const llvm::FixedVectorType& type, IRBuilder<>& builder) {
  return builder.getIntNTy(type.getNumElements() * type.getElementType()->getIntegerBitWidth());
}

}  // namespace

bool NeutralMemory::is_same(const Type* type) { return type->isIntegerTy() && type->getIntegerBitWidth() <= 8; }

llvm::IntegerType* NeutralMemory::bits_of(Type* type) const {
  const uint64_t bits = layout_.getTypeSizeInBits(type).getFixedValue();
  return llvm::IntegerType::get(type->getContext(), static_cast<unsigned>(bits));
}

Value* NeutralMemory::encode(IRBuilder<>& builder, Value* value) const {
  auto* type = bits_of(value->getType());
  Value* bits = value;
  if (value->getType()->isPointerTy())
    bits = builder.CreatePtrToInt(value, type);
  else if (value->getType() != type)
    bits = builder.CreateBitCast(value, type);
  return type->getBitWidth() > 8 ? builder.CreateUnaryIntrinsic(llvm::Intrinsic::bswap, bits) : bits;
}

Value* NeutralMemory::decode(IRBuilder<>& builder, Value* bits, Type* type) const {
  if (bits->getType()->getIntegerBitWidth() > 8) bits = builder.CreateUnaryIntrinsic(llvm::Intrinsic::bswap, bits);
  if (type->isPointerTy()) return builder.CreateIntToPtr(bits, type);
  return bits->getType() == type ? bits : builder.CreateBitCast(bits, type);
}

std::vector<NeutralMemory::Part> NeutralMemory::parts_of(Type* type) const {
  std::vector<Part> parts;
  if (auto* structure = llvm::dyn_cast<llvm::StructType>(type)) {
    const auto* layout = layout_.getStructLayout(structure);
    for (unsigned i = 0; i < structure->getNumElements(); ++i)
      parts.push_back({structure->getElementType(i), layout->getElementOffset(i).getFixedValue()});
  } else if (auto* array = llvm::dyn_cast<llvm::ArrayType>(type)) {
    const uint64_t size = layout_.getTypeAllocSize(array->getElementType());
    for (uint64_t i = 0; i < array->getNumElements(); ++i) parts.push_back({array->getElementType(), i * size});
  } else {
    // A vector's elements follow each other without the padding that an array's may have.
    auto* vector = llvm::cast<llvm::FixedVectorType>(type);
    const uint64_t size = layout_.getTypeSizeInBits(vector->getElementType()).getFixedValue() / 8;
    for (uint64_t i = 0; i < vector->getNumElements(); ++i) parts.push_back({vector->getElementType(), i * size});
  }
  return parts;
}

Value* NeutralMemory::load_scalar(IRBuilder<>& builder, Type* type, Value* from, Align align,
                                  const Instruction& like) const {
  if (!turns_ || is_same(type)) return load_bits(builder, type, from, align, like);
  auto* bits = bits_of(type);
  if (is_whole(bits->getBitWidth())) return decode(builder, load_bits(builder, bits, from, align, like), type);
  const unsigned bytes = (bits->getBitWidth() + 7) / 8;
  auto* wide = builder.getIntNTy(bytes * 8);
  Value* value = llvm::ConstantInt::get(wide, 0);
  for (unsigned i = 0; i < bytes; ++i) {
    Value* byte = load_bits(builder, builder.getInt8Ty(), at(builder, from, i), commonAlignment(align, i), like);
    value = builder.CreateOr(value, builder.CreateShl(builder.CreateZExt(byte, wide), i * 8));
  }
  return builder.CreateTrunc(value, bits);
}

void NeutralMemory::store_scalar(IRBuilder<>& builder, Value* value, Value* to, Align align,
                                 const Instruction& like) const {
  if (!turns_ || is_same(value->getType())) return store_bits(builder, value, to, align, like);
  auto* bits = bits_of(value->getType());
  if (is_whole(bits->getBitWidth())) return store_bits(builder, encode(builder, value), to, align, like);
  const unsigned bytes = (bits->getBitWidth() + 7) / 8;
  Value* wide = builder.CreateZExt(value, builder.getIntNTy(bytes * 8));
  for (unsigned i = 0; i < bytes; ++i)
    store_bits(builder, builder.CreateTrunc(builder.CreateLShr(wide, i * 8), builder.getInt8Ty()), at(builder, to, i),
               commonAlignment(align, i), like);
}

Value* NeutralMemory::load(IRBuilder<>& builder, Type* type, Value* from, Align align, const Instruction& like) const {
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type);
  if (!vector && !type->isAggregateType()) return load_scalar(builder, type, from, align, like);
  Value* whole = llvm::PoisonValue::get(type);
  if (vector && layout_.getTypeSizeInBits(vector->getElementType()).getFixedValue() % 8 != 0) {
    Value* bits = load_scalar(builder, packed(*vector, builder), from, align, like);
    const unsigned width = vector->getElementType()->getIntegerBitWidth();
    for (unsigned i = 0; i < vector->getNumElements(); ++i)
      whole = builder.CreateInsertElement(
          whole, builder.CreateTrunc(builder.CreateLShr(bits, i * width), vector->getElementType()), i);
    return whole;
  }
  unsigned index = 0;
  for (const Part& part : parts_of(type)) {
    Value* value = load(builder, part.type, at(builder, from, part.offset), commonAlignment(align, part.offset), like);
    whole = vector ? builder.CreateInsertElement(whole, value, index) : builder.CreateInsertValue(whole, value, index);
    ++index;
  }
  return whole;
}

void NeutralMemory::store(IRBuilder<>& builder, Value* value, Value* to, Align align, const Instruction& like) const {
  Type* type = value->getType();
  auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(type);
  if (!vector && !type->isAggregateType()) return store_scalar(builder, value, to, align, like);
  if (vector && layout_.getTypeSizeInBits(vector->getElementType()).getFixedValue() % 8 != 0) {
    auto* all = packed(*vector, builder);
    const unsigned width = vector->getElementType()->getIntegerBitWidth();
    Value* bits = llvm::ConstantInt::get(all, 0);
    for (unsigned i = 0; i < vector->getNumElements(); ++i)
      bits = builder.CreateOr(
          bits, builder.CreateShl(builder.CreateZExt(builder.CreateExtractElement(value, i), all), i * width));
    return store_scalar(builder, bits, to, align, like);
  }
  unsigned index = 0;
  for (const Part& part : parts_of(type)) {
    Value* member = vector ? builder.CreateExtractElement(value, index) : builder.CreateExtractValue(value, index);
    store(builder, member, at(builder, to, part.offset), commonAlignment(align, part.offset), like);
    ++index;
  }
}

}  // namespace godwit::portable
