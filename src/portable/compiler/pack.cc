// One file for all architectures: ../host/package.cc says what is in it.
#include <fcntl.h>
#include <fmt/format.h>
#include <llvm/Support/SHA256.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/base.h"
#include "portable/compiler/link.h"
#include "portable/portable.h"

namespace godwit::portable {
namespace {

/// A part's name in the cache: of its own bytes, as the signature leaves out the runtime and the back end.
std::string digest(std::string_view part) {
  llvm::SHA256 hash;
  hash.update(llvm::StringRef(part));
  std::string text;
  for (const uint8_t byte : hash.final()) text += fmt::format("{:02x}", byte);
  return text;
}

Result<std::string> contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return fail(Code::kSystem, fmt::format("{}: can't be read", path.string()));
  return text;
}

}  // namespace

Result<void> pack(const std::vector<const Target*>& targets, const std::vector<fs::path>& executables,
                  const fs::path& output) {
  Package package;
  std::string body;
  for (size_t i = 0; i < targets.size(); ++i) {
    TRY(auto bytes, contents(executables[i]));
    package.parts.push_back({std::string(targets[i]->name), 1 + body.size() / kBlock, bytes.size(), digest(bytes)});
    bytes.resize((bytes.size() + kBlock - 1) / kBlock * kBlock, '\0');
    body += bytes;
  }
  // A running program's file isn't written to: a new one takes its name.
  const fs::path fresh = fmt::format("{}.{}.new", output.string(), ::getpid());
  {
    std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
    file << starting_script(package) << body;
    if (!file.flush()) return fail(Code::kSystem, fmt::format("{}: can't be written", output.string()));
  }
  const mode_t mask = ::umask(0);
  ::umask(mask);
  std::error_code trouble;
  fs::permissions(fresh, static_cast<fs::perms>(0777 & ~mask), trouble);
  if (!trouble) fs::rename(fresh, output, trouble);
  if (trouble) return fail(Code::kSystem, fmt::format("{}: {}", output.string(), trouble.message()));
  return {};
}

}  // namespace godwit::portable
