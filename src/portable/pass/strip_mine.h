// Loops that are cut into strips: strip_mine.cc. Private to pass/.
#pragma once

#include <llvm/IR/Instructions.h>

#include <cstdint>
#include <optional>

namespace llvm {
class Loop;
class ScalarEvolution;
}  // namespace llvm

namespace godwit::portable {

struct Strip {
  llvm::Loop* loop = nullptr;
  llvm::Value* rounds = nullptr;  ///< how often the loop goes back
  uint64_t length = 0;            ///< most rounds of a strip
};

/// How an innermost loop can be cut; nothing, when it can't. Adds code before the loop, changes no control flow: plan all loops of
/// a function before the first is cut, since that makes what is known of them untrue.
std::optional<Strip> plan_strips(llvm::Loop& loop, llvm::ScalarEvolution& evolution);

/// Cuts; the end of the block that is passed between two strips, for a point.
llvm::Instruction* cut(const Strip& strip);

}  // namespace godwit::portable
