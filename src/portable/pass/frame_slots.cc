// Where in a function's frame each value lies.
//
// Problem: with a save block and a restore block for each call site, saving and restoring was two thirds of a program's code.
// SQLite has 18 000 sites with 6 live values each; a store and a load of each came to 2.2 MB beside 1.2 MB of code proper.
//
// Idea: one frame layout for the whole function, so that all its sites share one save block and one restore block
// (build_frames.cc). Each value that is live at some site has a slot; two that are never live at the same site may have the
// same one, as registers are shared. What a site doesn't need is saved as whatever is there, which costs no code.
//
// A phi and its operands are mostly one variable of the source: they get the same slot when it is free at all their sites.
// Then the back end's coalescing makes them one as well, and the ways between a site and the shared blocks need no copies.
// The values with the most sites choose first. Slots are of one type: no conversion is needed at either end.
//
// Limits: a frame is as large as the function's largest need, at each of its sites.
#include <llvm/ADT/BitVector.h>
#include <llvm/ADT/STLExtras.h>

#include <algorithm>

#include "portable/pass/frames.h"

namespace godwit::portable {
namespace {

using llvm::BitVector;
using llvm::Value;

class SlotChooser {
 public:
  explicit SlotChooser(const std::vector<CallSite>& sites) : sites_(sites) {
    for (unsigned k = 0; k < sites.size(); ++k)
      for (Value* v : sites[k].live) {
        BitVector& at = live_at_.try_emplace(v, BitVector(static_cast<unsigned>(sites.size()))).first->second;
        at.set(k);
      }
  }

  std::vector<FrameSlot> choose() {
    std::vector<std::pair<Value*, unsigned>> order;
    for (const auto& [value, at] : live_at_) order.emplace_back(value, at.count());
    std::ranges::stable_sort(order, [](const auto& a, const auto& b) { return a.second > b.second; });
    for (const auto& [value, count] : order) put(*value);
    return std::move(slots_);
  }

 private:
  void put(Value& value) {
    const BitVector& at = live_at_.find(&value)->second;
    const unsigned slot = slot_for(value, at);
    slot_of_[&value] = slot;
    taken_[slot] |= at;
    for (const unsigned k : at.set_bits()) slots_[slot].at[k] = &value;
  }

  unsigned slot_for(const Value& value, const BitVector& at) {
    for (const Value* kin : kin_of(value))
      if (const auto it = slot_of_.find(kin); it != slot_of_.end() && fits(it->second, value, at)) return it->second;
    for (unsigned slot = 0; slot < slots_.size(); ++slot)
      if (fits(slot, value, at)) return slot;
    slots_.push_back({.type = value.getType(), .at = std::vector<Value*>(sites_.size())});
    taken_.emplace_back(static_cast<unsigned>(sites_.size()));
    return static_cast<unsigned>(slots_.size() - 1);
  }

  [[nodiscard]] bool fits(unsigned slot, const Value& value, const BitVector& at) const {
    return slots_[slot].type == value.getType() && !taken_[slot].anyCommon(at);
  }

  static llvm::SmallVector<const Value*, 8> kin_of(const Value& value) {
    llvm::SmallVector<const Value*, 8> kin;
    if (const auto* phi = llvm::dyn_cast<llvm::PHINode>(&value)) llvm::append_range(kin, phi->incoming_values());
    for (const auto* user : value.users())
      if (llvm::isa<llvm::PHINode>(user)) kin.push_back(user);
    return kin;
  }

  const std::vector<CallSite>& sites_;
  llvm::MapVector<Value*, BitVector> live_at_;
  llvm::DenseMap<const Value*, unsigned> slot_of_;
  std::vector<FrameSlot> slots_;
  std::vector<BitVector> taken_;  ///< of each slot: at which sites
};

}  // namespace

FrameLayout lay_out_frame(const std::vector<CallSite>& sites, const llvm::DataLayout& layout, bool stack_pointer_too) {
  FrameLayout frame{.slots = SlotChooser(sites).choose()};
  uint64_t size = sizeof(uint64_t);
  const auto room = [&](uint64_t bytes, llvm::Align align) {
    size = llvm::alignTo(size, std::min(align, llvm::Align(kFrameAlign)));
    return std::exchange(size, size + bytes);
  };
  for (FrameSlot& slot : frame.slots)
    slot.offset = room(layout.getTypeAllocSize(slot.type), layout.getABITypeAlign(slot.type));
  if (stack_pointer_too) frame.stack_pointer = room(sizeof(uint64_t), llvm::Align(sizeof(uint64_t)));
  frame.size = llvm::alignTo(size, kFrameAlign);
  return frame;
}

}  // namespace godwit::portable
