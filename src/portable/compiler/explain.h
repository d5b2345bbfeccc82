// `godwit explain`, the half that needs LLVM: what the program's bitcode says.
#pragma once

#include <string>

#include "portable/compiler/link.h"

namespace godwit::portable {

/// Writes the findings to a file (../explain/findings.h). The inputs should have been compiled with -g.
Result<void> explain(const LinkOptions& options, const std::string& path);

}  // namespace godwit::portable
