// Input: the body of a manifest. It is put into a frame with the right digest, which a fuzzer would never guess. What is
// accepted must come back the same from encode() and decode(), and must be printable.
#include "base/check.h"
#include "image/bytes.h"
#include "image/image.h"

using namespace godwit;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string frame = "GODWITIM";
  frame.resize(32);
  image::put_le32(frame, 8, 1);
  image::put_le64(frame, 16, size);
  frame.append(reinterpret_cast<const char*>(data), size);
  const image::ChunkId digest = image::sha256(std::as_bytes(std::span(frame)));
  frame.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
  const auto manifest = image::decode(std::as_bytes(std::span(frame)));
  (void)image::decode(std::as_bytes(std::span(data, size)));
  if (!manifest) return 0;
  (void)image::to_json(*manifest, {.runs = true});
  const auto again = image::encode(*manifest);
  GODWIT_CHECK(again.has_value());
  const auto back = image::decode(std::as_bytes(std::span(*again)));
  GODWIT_CHECK(back.has_value() && *back == *manifest);
  return 0;
}
