// What a source makes depend on the processor: #if and its kin that ask for a processor's macros.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace godwit::portable {

struct Directive {
  unsigned line = 0;
  unsigned column = 0;
  std::string macro;
  bool operator==(const Directive&) const = default;
};

/// `match` is a blank-separated list of how such macros begin. A condition that also asks for __godwit__ knows what it does, and
/// what only other compilers see doesn't count.
std::vector<Directive> processor_directives(std::string_view source, std::string_view match);

}  // namespace godwit::portable
