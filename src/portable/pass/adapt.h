// The parts of the adapter, pass/adapt.cc.
#pragma once

#include <llvm/IR/DataLayout.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <vector>

namespace godwit::portable {

/// Symbols of the linker script: between them lie the places that hold an address which the linker wrote in the processor's own
/// byte order, 16 bytes each: where, and of how many bytes. compiler/swap_words.cc turns them over.
constexpr const char* kSwapSection = ".godwit.swaps";

/// Loads and stores of the neutral family's memory, little-endian and laid out as the neutral data layout says.
class NeutralMemory {
 public:
  explicit NeutralMemory(const llvm::DataLayout& layout) : layout_(layout) {}

  /// Is a value of this type the same in memory on both sides?
  [[nodiscard]] static bool is_same(const llvm::Type* type);
  /// `like` gives volatility and what is known of aliases.
  llvm::Value* load(llvm::IRBuilder<>& builder, llvm::Type* type, llvm::Value* from, llvm::Align align,
                    const llvm::Instruction& like) const;
  void store(llvm::IRBuilder<>& builder, llvm::Value* value, llvm::Value* to, llvm::Align align,
             const llvm::Instruction& like) const;

  /// As an integer with its bytes turned over, and back. Scalars of 2, 4, 8 or 16 bytes, or of one.
  llvm::Value* encode(llvm::IRBuilder<>& builder, llvm::Value* value) const;
  llvm::Value* decode(llvm::IRBuilder<>& builder, llvm::Value* bits, llvm::Type* type) const;
  /// The integer type of that size.
  [[nodiscard]] llvm::IntegerType* bits_of(llvm::Type* type) const;

 private:
  struct Part {
    llvm::Type* type;
    uint64_t offset;
  };
  [[nodiscard]] std::vector<Part> parts_of(llvm::Type* type) const;
  llvm::Value* load_scalar(llvm::IRBuilder<>& builder, llvm::Type* type, llvm::Value* from, llvm::Align align,
                           const llvm::Instruction& like) const;
  void store_scalar(llvm::IRBuilder<>& builder, llvm::Value* value, llvm::Value* to, llvm::Align align,
                    const llvm::Instruction& like) const;

  const llvm::DataLayout& layout_;
};

/// A constant whose address computations count bytes, not members of types that are laid out differently elsewhere.
llvm::Constant* in_bytes(llvm::Constant* constant, const llvm::DataLayout& layout);

/// All globals become bytes.
void adapt_globals(llvm::Module& module);

}  // namespace godwit::portable
