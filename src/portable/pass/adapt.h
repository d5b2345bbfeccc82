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

/// Loads and stores of the neutral family's memory, little-endian and laid out as the neutral data layout says. On a processor
/// that is little-endian itself nothing is turned over.
class NeutralMemory {
 public:
  NeutralMemory(const llvm::DataLayout& layout, bool turns) : layout_(layout), turns_(turns) {}

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
  bool turns_;
};

/// A constant whose address computations count bytes, not members of types that are laid out differently elsewhere.
llvm::Constant* in_bytes(llvm::Constant* constant, const llvm::DataLayout& layout);

/// Is it one of abi.h's words, which lie in native memory?
bool is_native_word(const llvm::Value* pointer);
/// Everybody uses `fresh`, `old` is gone.
void replace(llvm::Instruction& old, llvm::Value* fresh);
/// LLVM makes one load of an address that is either a native word's or another's out of a load on each of the ways that come
/// together there. It becomes several again.
void separate_native_words(llvm::Function& function);
/// Nothing but loads and stores depends on the neutral data layout any more.
void count_in_bytes(llvm::Function& function, const llvm::DataLayout& layout);

/// All globals become bytes. An address in one has 8 bytes; on a narrow processor the linker writes the lower 4.
enum class Addresses { kWide, kNarrow };
void adapt_globals(llvm::Module& module, Addresses addresses);

}  // namespace godwit::portable
