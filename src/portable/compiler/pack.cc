// One file for all architectures: ../host/package.cc says what is in it.
#include <fmt/format.h>
#include <llvm/Support/SHA256.h>

#include "base/base.h"
#include "portable/compiler/link.h"
#include "portable/portable.h"

namespace godwit::portable {
namespace {

constexpr size_t kLargestPart = size_t{2} << 30;  // code and data lie below 2 GiB

/// A part's name in the cache: of its own bytes, as the signature leaves out the runtime and the back end.
std::string digest(std::string_view part) {
  llvm::SHA256 hash;
  hash.update(llvm::StringRef(part));
  std::string text;
  for (const uint8_t byte : hash.final()) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace

Result<void> pack(const std::vector<const Target*>& targets, const std::vector<fs::path>& executables,
                  const fs::path& output) {
  Package package;
  std::string body;
  for (size_t i = 0; i < targets.size(); ++i) {
    TRY(auto bytes, io::read_file(executables[i].string(), kLargestPart));
    package.parts.push_back({std::string(targets[i]->name), 1 + body.size() / kBlock, bytes.size(), digest(bytes)});
    bytes.resize((bytes.size() + kBlock - 1) / kBlock * kBlock, '\0');
    body += bytes;
  }
  // A running program's file isn't written to: a new one takes its name.
  return io::replace_file(output.string(), starting_script(package) + body, 0777);
}

}  // namespace godwit::portable
