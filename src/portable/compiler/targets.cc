#include "portable/compiler/targets.h"

namespace godwit::portable {

// musl is what the C library is: with -gnu, LLVM would call functions of glibc's (floorf128, sincos).
const std::vector<Target>& targets() {
  static const std::vector<Target> kTable = {
      {.name = "x86_64",
       .triple = "x86_64-unknown-linux-musl",
       .cpu = "x86-64",
       .features = "",
       .jump = "jmp {}",
       .before_jumps = "",
       .compiler_library = "/usr/lib/gcc/x86_64-linux-gnu/12",
       .code_model = llvm::CodeModel::Small},
      // Outlined atomics would ask the C library of the target for the processor's features.
      {.name = "aarch64",
       .triple = "aarch64-unknown-linux-musl",
       .cpu = "generic",
       .features = "+neon,-outline-atomics",
       .jump = "b {}",
       .before_jumps = "",
       .compiler_library = "/usr/lib/gcc-cross/aarch64-linux-gnu/12",
       .code_model = llvm::CodeModel::Small},
      // Relaxation by the linker would shorten the jumps and with them the stride.
      {.name = "riscv64",
       .triple = "riscv64-unknown-linux-musl",
       .cpu = "generic-rv64",
       .features = "+m,+a,+f,+d,+c",
       .jump = "tail {}",
       .before_jumps = ".option norelax",
       .compiler_library = "/usr/lib/gcc-cross/riscv64-linux-gnu/12",
       .code_model = llvm::CodeModel::Medium},
      {.name = "s390x",
       .triple = "s390x-unknown-linux-musl",
       .cpu = "z10",
       .features = "",
       .jump = "jg {}",
       .before_jumps = "",
       .compiler_library = "/usr/lib/gcc-cross/s390x-linux-gnu/12",
       .code_model = llvm::CodeModel::Small,
       .big_endian = true,
       .by_default = false},
      // A branch doesn't reach from the thunks to the code. No NEON: its single precision has no subnormal numbers.
      {.name = "armhf",
       .triple = "armv7-unknown-linux-musleabihf",
       .cpu = "generic",
       .features = "+v7,+vfp3d16,-neon,+read-tp-tpidruro",
       .jump = "ldr pc, [pc, #-4]\n.word {}",
       .before_jumps = "",
       .compiler_library = "/usr/lib/gcc-cross/arm-linux-gnueabihf/12",
       .code_model = llvm::CodeModel::Small,
       .narrow = true,
       .by_default = false}};
  return kTable;
}

const Target* find_target(std::string_view name) {
  for (const Target& t : targets())
    if (t.name == name) return &t;
  return nullptr;
}

}  // namespace godwit::portable
