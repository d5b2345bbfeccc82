#include "cli/program_kind.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string_view>

#include "base/base.h"
#include "base/program_file.h"
#include "portable/portable.h"

namespace godwit::cli {
namespace {

struct Machine {
  unsigned number;
  std::string_view name;  ///< as `uname -m`
};
constexpr std::array kMachines = {Machine{EM_X86_64, "x86_64"}, Machine{EM_AARCH64, "aarch64"},
                                  Machine{EM_RISCV, "riscv64"}, Machine{EM_S390, "s390x"}, Machine{EM_ARM, "armv7l"}};

}  // namespace

void add_program_kind(wire::UnitSpec& spec) {
  const auto file = sys::open(program_file(spec.argv(0), spec.cwd()), O_RDONLY);
  if (!file) return;  // it may be on the node
  if (const auto package = portable::read_package(*file)) {
    spec.set_grain(wire::PORTABLE);
    for (const auto& part : package->parts) spec.add_architectures(part.architecture);
    return;
  }
  Elf64_Ehdr head{};
  if (::pread(file->get(), &head, sizeof head, 0) != sizeof head || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
    return;  // a script: wherever its interpreter is
  for (const auto& machine : kMachines)
    if (machine.number == head.e_machine) spec.add_architectures(std::string(machine.name));
}

bool program_is_missing(const wire::UnitSpec& spec) {
  const std::string file = program_file(spec.argv(0), spec.cwd());
  return file.empty() || ::access(file.c_str(), F_OK) != 0;
}

}  // namespace godwit::cli
