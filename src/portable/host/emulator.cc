#include <array>
#include <string_view>

#include "base/program_file.h"
#include "portable/portable.h"

namespace godwit::portable {
namespace {

struct Emulated {
  std::string_view architecture;  ///< as `uname -m`
  std::string_view qemu;  ///< in qemu's program names
};
constexpr std::array kEmulated = {Emulated{"x86_64", "x86_64"}, Emulated{"aarch64", "aarch64"},
                                  Emulated{"riscv64", "riscv64"}, Emulated{"s390x", "s390x"}};

}  // namespace

Result<std::string> find_emulator(const std::string& architecture) {
  std::string known;
  for (const auto& row : kEmulated) {
    known += (known.empty() ? "" : ", ") + std::string(row.architecture);
    if (row.architecture != architecture) continue;
    for (const char* suffix : {"-static", ""})
      if (auto file = program_file("qemu-" + std::string(row.qemu) + suffix, {}); !file.empty()) return file;
    return fail(Code::kRefused, architecture + " can't be emulated here: qemu-" + std::string(row.qemu) +
                                    "-static isn't installed (package qemu-user-static)");
  }
  return fail(Code::kUsage, "no machine of architecture '" + architecture +
                                "' can be emulated for portable programs; these can: " + known);
}

}  // namespace godwit::portable
