// What several passes share: the names of abi.h as LLVM sees them, call sites, diagnostics.
#pragma once

#include <llvm/ADT/DenseSet.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InstrTypes.h>
#include <llvm/IR/Module.h>

#include <initializer_list>

namespace godwit::portable {

// Values of the state word, see abi.h.
constexpr uint32_t kRunning = 0, kSaving = 1, kRestoring = 2, kThrowing = 3, kJumping = 4;

/// A function with this attribute gets no adaptation points in its loops (it may still be on the stack at one).
constexpr const char* kLeaf = "godwit-leaf";
/// A function with this attribute is left as it is: allow.cc.
constexpr const char* kAllowed = "godwit-allowed";
/// The function of <godwit.h> that is a point where it is called.
constexpr const char* kExplicitPoint = "__godwit_adaptation_point";

/// What begins an exception and a jump: libcxx/, libc/jump.c.
constexpr const char* kRaise = "__godwit_raise";
constexpr const char* kLongjmp = "longjmp";

/// A call with this attribute is followed by a look for kThrowing or kJumping.
constexpr const char* kLookedAfter = "godwit-looked-after";
/// Metadata of a return that hands on one of the two: no adaptation point before it.
constexpr const char* kLeaves = "godwit.leaves";

/// A thunk's name is this and the function's. The linker (compiler/) and lay_out.cc share these.
constexpr const char* kThunkPrefix = "__godwit_to_";
/// On a narrow processor: a native function as neutral code calls it, where it has a thunk.
constexpr const char* kWidePrefix = "__godwit_wide_";
constexpr const char* kDataSection = ".godwit.data";
constexpr const char* kZeroSection = ".bss.godwit";  ///< its name makes LLVM give it no bytes in the file
constexpr const char* kConstantSection = ".godwit.constants";

/// The native words and functions of abi.h, declared in `module` when first asked for.
class Abi {
 public:
  explicit Abi(llvm::Module& module) : module_(module), context_(module.getContext()) {}

  llvm::GlobalVariable* state() { return word("__godwit_state", llvm::Type::getInt32Ty(context_), true); }
  llvm::GlobalVariable* request() { return word("__godwit_request", llvm::Type::getInt32Ty(context_), false); }
  llvm::GlobalVariable* stack_pointer() { return word("__godwit_sp", pointer(), true); }
  llvm::GlobalVariable* thread_pointer() { return word("__godwit_tp", pointer(), true); }
  llvm::FunctionCallee poll();
  llvm::FunctionCallee save();
  llvm::FunctionCallee pop();

  /// The request word, that another thread changes: relaxed, so that no loop reads it only once.
  llvm::Value* load_request(llvm::IRBuilder<>& builder);
  /// This thread's state word: only what is called changes it, so an ordinary load, which becomes part of a comparison.
  llvm::Value* load_state(llvm::IRBuilder<>& builder);

  llvm::PointerType* pointer() { return llvm::PointerType::get(context_, 0); }

 private:
  llvm::GlobalVariable* word(const char* name, llvm::Type* type, bool of_thread);

  llvm::Module& module_;
  llvm::LLVMContext& context_;
};

/// Is it one of the runtime's own (native) names? They have no neutral body.
bool is_native(const llvm::GlobalValue& value);

/// A return, of whatever value, that hands on the state.
void return_left(llvm::IRBuilder<>& builder);

/// Weights of a branch that is taken once in a program's life.
llvm::MDNode* unlikely(llvm::LLVMContext& context);

/// Gives functions with GODWIT_ALLOW the attribute kAllowed: allow.cc.
void mark_allowed(llvm::Module& module);

/// Reports, at the place of `where`, what can't be carried. See passes.h for what follows.
void refuse(const llvm::Instruction& where, const llvm::Twine& what);

/// The functions from which one of some roots is reached by calls, through pointers too when the address of one of them is taken.
/// A root that nobody calls counts for nothing.
class Reach {
 public:
  Reach(llvm::Module& module, std::initializer_list<const char*> roots);
  [[nodiscard]] bool none() const { return functions_.empty(); }
  [[nodiscard]] bool function(const llvm::Function& f) const { return functions_.contains(&f); }
  /// May this call come to a root?
  [[nodiscard]] bool call(const llvm::CallBase& call) const;

 private:
  llvm::DenseSet<const llvm::Function*> functions_;
  bool by_pointer_ = false;
};

/// May a thread stop while it is in there? At an adaptation point or in a system call.
struct MayStop : Reach {
  explicit MayStop(llvm::Module& module) : Reach(module, {"__godwit_poll", "__godwit_syscall"}) {}
};

}  // namespace godwit::portable
