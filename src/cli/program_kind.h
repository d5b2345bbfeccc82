// What a program's file says of where it can run.
#pragma once

#include <string>

#include "godwit/common.pb.h"

namespace godwit::cli {

/// Fills in grain and architectures of a spec, as far as the program's file is here and says so.
void add_program_kind(wire::UnitSpec& spec);

/// Has the program no file here? A node may have it all the same.
bool program_is_missing(const wire::UnitSpec& spec);

}  // namespace godwit::cli
