// What build_frames.cc is made of. Private to pass/.
#pragma once

#include <llvm/ADT/BitVector.h>
#include <llvm/ADT/DenseMap.h>
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

/// Takes from a function that may be left in the middle, and from calls to it, the attributes that would then be untrue.
void drop_promises(llvm::Function& function);
void drop_promises(llvm::CallBase& call);

}  // namespace godwit::portable
