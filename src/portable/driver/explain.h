// `godwit explain`: what in a program hinders a move.
#pragma once

#include "portable/driver/arguments.h"
#include "portable/driver/tools.h"

namespace godwit::portable {

/// Prints the findings. 3 when godwit cc would refuse the program, else 0; 1 when it can't be said.
Result<int> explain(const Arguments& arguments, const Tools& tools);

/// What every command of Godwit's prints with --json when it fails.
std::string error_as_json(const Error& error);

}  // namespace godwit::portable
