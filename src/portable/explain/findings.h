// A finding of `godwit explain`: a check that fits somewhere. Kept, printed, and handed from one program to the other.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "portable/explain/checks.h"

namespace godwit::portable {

struct Finding {
  std::string file;  ///< empty: not known
  unsigned line = 0;
  unsigned column = 0;
  Severity severity = Severity::kRemark;
  std::string code;
  std::string object;  ///< the function, macro, file … that it is about
  std::string what;
  std::string why;
  std::string lift;
  bool operator==(const Finding&) const = default;
};

const char* name_of(Severity severity);

/// A finding of that check; `object` replaces {} in its text.
Finding make_finding(const Check& check, std::string file, unsigned line, unsigned column, std::string object);

/// A line for each, its fields separated by tabs.
std::string as_lines(const std::vector<Finding>& findings);
Result<std::vector<Finding>> from_lines(std::string_view text);

}  // namespace godwit::portable
