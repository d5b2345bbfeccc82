// What comes from the other keeper or from an image: decoding must end in a value or in Code::kCorrupt, and what it
// accepts must encode to what decodes to the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "files/wire.h"

namespace {

template <typename T>
void round_trip(const godwit::Result<T>& decoded, godwit::Result<T> (*decode)(std::string_view)) {
  if (!decoded) {
    if (decoded.error().code != godwit::Code::kCorrupt) std::abort();
    return;
  }
  const auto again = decode(godwit::files::encode(*decoded));
  if (!again || !(*again == *decoded)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace godwit::files;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0: round_trip(decode_offer(bytes), &decode_offer); break;
    case 1: round_trip(decode_answer(bytes), &decode_answer); break;
    case 2: round_trip(decode_last(bytes), &decode_last); break;
    case 3: round_trip(decode_tree(bytes), &decode_tree); break;
    default: round_trip(decode_view_plan(bytes), &decode_view_plan); break;
  }
  return 0;
}
