// For the tests of tests/vectors/delegation: what a vector is, and how the library judges one.
#pragma once

#include <string>
#include <vector>

#include "delegation/json.h"

namespace godwit::delegation::vectors {

struct Case {
  std::string name;  ///< words joined by '-'
  Json input;        ///< "check" says which function judges it; docs/formats/delegation.md
  std::string expected;  ///< "ok" or a code of the table
};

/// All, in the order of their numbers. Nothing in them is random.
const std::vector<Case>& cases();
std::vector<Case> document_cases();
std::vector<Case> admission_cases();
std::vector<Case> trace_cases();

/// "ok" or the code of the refusal.
std::string judge(const Json& input);

}  // namespace godwit::delegation::vectors
