// Names that matter to the linker besides those the program uses.
#pragma once

#include <llvm/IR/Module.h>

namespace godwit::portable {

/// Supplied by the runtime or by libgcc of the target: may stay undefined in neutral code.
bool is_supplied_natively(llvm::StringRef name);

/// What must stay visible. LLVM may call what the source doesn't: a printf may become puts while it simplifies, and where a
/// processor has no instruction for llvm.floor its back end calls floor.
enum class Stage { kSimplify, kLower };
bool stays_visible(llvm::StringRef name, Stage stage);

/// Declares, as used, what may be called so, before the libraries are linked in; and takes the marks away after it.
void want_library_functions(llvm::Module& module);
void forget_wanted(llvm::Module& module);

}  // namespace godwit::portable
