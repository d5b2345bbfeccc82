// Names that matter to the linker besides those the program uses.
#pragma once

#include <llvm/IR/Module.h>

#include <set>
#include <string>

namespace godwit::portable {

/// Supplied by the runtime or by libgcc of the target: may stay undefined in neutral code.
bool is_supplied_natively(llvm::StringRef name);

/// What must stay visible. LLVM may call what the source doesn't: a printf may become puts while it simplifies, and where a
/// processor has no instruction for llvm.floor its back end calls floor.
enum class Stage { kSimplify, kLower };
bool stays_visible(llvm::StringRef name, Stage stage);

/// Adds the functions that back ends may call for what the module has, and that aren't defined in it. Whether there were any new.
bool add_asked_of_back_ends(const llvm::Module& module, std::set<std::string>& names);

/// Declares, as used, what may be called so, before the libraries are linked in; and takes the marks away after it.
void want_library_functions(llvm::Module& module, const std::set<std::string>& of_back_ends);
void forget_wanted(llvm::Module& module);

}  // namespace godwit::portable
