// The architectures a portable program is made for. To add one of the family: a row in targets.cc, its start code and system
// calls in runtime/, its C compiler's library in scripts/install-dependencies. A big-endian one takes the adapter, too, which every
// link would pay for: the default are the three of the family's own kind.
#pragma once

#include <llvm/Support/CodeGen.h>

#include <string_view>
#include <vector>

namespace godwit::portable {

struct Target {
  std::string_view name;  ///< as in --targets and as `uname -m` says
  std::string_view triple;
  std::string_view cpu;  ///< the least processor that its parts run on
  std::string_view features;  ///< of LLVM's, "+a,-b"
  std::string_view jump;  ///< a thunk: "{}" is the function
  std::string_view before_jumps;  ///< assembler directives
  std::string_view compiler_library;  ///< folder of libgcc.a (binary128 arithmetic, 128-bit division)
  llvm::CodeModel::Model code_model;
  bool big_endian = false;  ///< neutral memory stays little-endian there: pass/adapt.cc
  bool narrow = false;  ///< addresses have 32 bits, pointers stay 64: pass/adapt_narrow.cc
  bool by_default = true;  ///< made when no --targets is given
};

const std::vector<Target>& targets();
/// Null when there is none of that name.
const Target* find_target(std::string_view name);

}  // namespace godwit::portable
