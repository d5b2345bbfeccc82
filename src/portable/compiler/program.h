// The `godwit_program` of abi.h as a constant of the module.
#pragma once

#include "portable/compiler/link.h"

namespace godwit::portable {
/// Adds it; `instrumented` holds the signature and the number of thunks.
void describe_program(llvm::Module& module, std::string_view name, const Instrumented& instrumented);
}  // namespace godwit::portable
