#include <unistd.h>

#include <array>
#include <cstdlib>
#include <sstream>
#include <string_view>

#include "portable/portable.h"

namespace godwit::portable {
namespace {

struct Emulated {
  std::string_view architecture;  ///< as `uname -m`
  std::string_view qemu;  ///< in qemu's program names
};
constexpr std::array kEmulated = {Emulated{"x86_64", "x86_64"}, Emulated{"aarch64", "aarch64"},
                                  Emulated{"riscv64", "riscv64"}, Emulated{"s390x", "s390x"}};

std::string in_path(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream directories(path != nullptr ? path : "/usr/bin:/bin");
  for (std::string directory; std::getline(directories, directory, ':');)
    if (const std::string file = directory + "/" + name; ::access(file.c_str(), X_OK) == 0) return file;
  return {};
}

}  // namespace

Result<std::string> find_emulator(const std::string& architecture) {
  std::string known;
  for (const auto& row : kEmulated) {
    known += (known.empty() ? "" : ", ") + std::string(row.architecture);
    if (row.architecture != architecture) continue;
    for (const char* suffix : {"-static", ""})
      if (auto file = in_path("qemu-" + std::string(row.qemu) + suffix); !file.empty()) return file;
    return fail(Code::kRefused, architecture + " can't be emulated here: qemu-" + std::string(row.qemu) +
                                    "-static isn't installed (package qemu-user-static)");
  }
  return fail(Code::kUsage, architecture + " isn't an architecture of portable programs; these are: " + known);
}

}  // namespace godwit::portable
