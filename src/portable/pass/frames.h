// What build_frames.cc is made of. Private to pass/.
#pragma once

#include <llvm/ADT/BitVector.h>
#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/MapVector.h>
#include <llvm/IR/Instructions.h>

#include <vector>

#include "portable/pass/support.h"

namespace godwit::portable {

/// One call during which a thread may stop. `block` holds the call and nothing before it but phis; `after` is where the
/// function goes on. `live` are values that were computed before the call and are used after it.
struct CallSite {
  llvm::CallInst* call = nullptr;
  llvm::BasicBlock* block = nullptr;
  llvm::BasicBlock* after = nullptr;
  std::vector<llvm::Value*> live;
};

/// One place of a function's frame. At each site one value lies in it, or none.
struct FrameSlot {
  llvm::Type* type = nullptr;
  uint64_t offset = 0;
  std::vector<llvm::Value*> at;  ///< the value, by site; null: none
};

struct FrameLayout {
  std::vector<FrameSlot> slots;
  uint64_t stack_pointer = 0;  ///< where __godwit_sp is kept, in a function that moves it as it runs
  uint64_t size = 0;
};

constexpr uint64_t kFrameAlign = 16;

/// Variables that stay in memory become parts of this thread's stack in the arena (arena_frame.cc). Every way out of the
/// function gives the stack pointer back; `base` is what it was at the entry, null when the function has no such variable.
struct ArenaFrame {
  llvm::Value* base = nullptr;
  bool dynamic = false;  ///< has an alloca of variable size: the stack pointer itself must be saved
};

/// `entry_end`: the entry block's terminator, before which addresses are computed; they hold also when a frame is restored.
ArenaFrame move_variables(llvm::Function& function, Abi& abi, llvm::Instruction* entry_end);

/// Splits blocks so that each call that may stop is alone. Refuses what can't be a call site.
std::vector<CallSite> isolate_calls(llvm::Function& function, const MayStop& may_stop);

/// Fills CallSite::live. Values of the entry block are left out: they are computed again.
void find_live(llvm::Function& function, std::vector<CallSite>& sites);

/// Computes again after calls what is cheap, so that it needn't be live across them. Needs find_live before, and after it.
void rematerialise(llvm::Function& function, const std::vector<CallSite>& sites);

/// The same places for all sites (frame_slots.cc).
FrameLayout lay_out_frame(const std::vector<CallSite>& sites, const llvm::DataLayout& layout, bool stack_pointer_too);

/// Takes from a function that may be left in the middle, and from calls to it, the attributes that would then be untrue.
void drop_promises(llvm::Function& function);
void drop_promises(llvm::CallBase& call);

}  // namespace godwit::portable
