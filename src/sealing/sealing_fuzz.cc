// Input: one byte that says how, one that says in which pieces, then bytes. Either as they come; or sealed, and then changed at places
// that the input names: what comes out is the beginning of what went in, and all of it only if nothing was changed.
#include "base/check.h"
#include "sealing/sealing.h"

using namespace godwit;
using namespace godwit::sealing;

namespace {

const SealKey& key() {
  static const SealKey kKey = SealKey::from_seed({1, 2, 3});
  return kKey;
}

/// What was opened, and whether to the end.
std::pair<std::string, bool> open_all(std::string_view bytes, size_t piece) {
  Opener open(key());
  std::string out;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    const auto more = open.add(bytes.substr(0, piece));
    if (!more) return {out, false};
    out += *more;
  }
  const auto rest = open.finish();
  return {rest ? out + *rest : out, rest.has_value()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 6) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 6, size - 6);
  const size_t piece = (size_t{data[1]} + 1) * 331;
  if (data[0] % 4 == 0) {
    GODWIT_CHECK(!open_all(text, piece).second, "a stream that was sealed by nobody");
    return 0;
  }
  std::string plain(text);
  plain.resize(plain.size() + (size_t{data[2]} << 10), 'x');
  Sealer seal = *Sealer::to(key().public_key());
  std::string bytes = seal.header();
  bytes += seal.add(plain);
  bytes += seal.finish();
  const std::string whole = bytes;
  const size_t at = (size_t{data[3]} << 16 | size_t{data[4]} << 8 | data[5]) % bytes.size();
  if (data[0] % 4 == 1) bytes[at] = static_cast<char>(bytes[at] ^ 0x20);
  if (data[0] % 4 == 2) bytes.resize(at);
  const auto [out, all] = open_all(bytes, piece);
  GODWIT_CHECK(plain.starts_with(out));
  GODWIT_CHECK(all == (bytes == whole));
  return 0;
}
