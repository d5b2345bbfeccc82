#include "delegation/allowance.h"

#include <ctime>
#include <vector>

#include "base/io.h"
#include "base/sys.h"
#include "delegation/policy.h"

namespace godwit::delegation {

Result<std::optional<Grants>> load_wish(const std::string& state_dir) {
  const std::string path = state_dir + "/caveat.json";
  if (!sys::lstat(path)) return std::nullopt;
  TRY(const std::string text, io::read_file(path, 1u << 18));
  TRY(const Grants wish, to_result(grants_of_caveat(text, static_cast<uint64_t>(std::time(nullptr)))));
  return wish;
}

Checked<Grants> allowance(std::string_view document, std::span<const std::string> caveats,
                          const std::optional<Grants>& wish) {
  TRY(SignedDocument read, read_document(document));
  TRY(const Authority authority, chain(std::move(read), {caveats.begin(), caveats.end()}));
  if (!wish) return authority.grants();
  return narrowed(authority.grants(), *wish);
}

}  // namespace godwit::delegation
