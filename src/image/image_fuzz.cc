// Input: the length of a manifest's body (4 bytes, little-endian), the body, and the blocks of a pack. Made into a single-file
// image with right digests of frame and end; then opened, verified and loaded. The rest of the input after a first byte of
// 0xff is a chunk file instead.
#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/io.h"
#include "base/sys.h"
#include "image/bytes.h"
#include "image/image.h"
#include "image/pack.h"

using namespace godwit;

namespace {

class Nowhere : public engine::PageWriter {
 public:
  Result<void> write(std::span<const engine::PageRun> runs, std::span<const std::byte> data) override {
    uint64_t bytes = 0;
    for (const engine::PageRun& run : runs) bytes += run.length;
    GODWIT_CHECK(bytes == data.size());
    return {};
  }
  Result<void> zero(std::span<const engine::PageRun>) override { return {}; }
};

void chunk_file(std::string file) {
  const auto bytes = std::as_writable_bytes(std::span(file));
  const auto header = image::decode_chunk_header(bytes, image::kMaxChunkBytes);
  if (!header) return;
  std::string out(header->plain_bytes, '\0');
  const image::StoreKey key{};
  (void)image::decode_chunk(*header, bytes, {}, key, std::as_writable_bytes(std::span(out)));
}

image::ImageId id_in(std::string_view body) {
  // The image id is the first field of a body that protobuf wrote: 0x0a 0x10 and 16 bytes.
  image::ImageId id{};
  if (body.size() >= 18 && body.substr(0, 2) == "\x0a\x10")
    std::copy_n(body.data() + 2, 16, reinterpret_cast<char*>(id.data()));
  return id;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (size < 5) return 0;
  if (data[0] == 0xff) {
    chunk_file(std::string(input.substr(1)));
    return 0;
  }
  const size_t length = std::min<size_t>(image::get_le32(input, 0), size - 4);
  const std::string_view body = input.substr(4, length);
  std::string blocks(input.substr(4 + length));
  blocks.resize((blocks.size() + image::kPageBytes - 1) / image::kPageBytes * image::kPageBytes);

  std::string file = image::pack_header(id_in(body), 0) + blocks;
  const uint64_t at = file.size();
  std::string frame = "GODWITIM";
  frame.resize(32);
  image::put_le32(frame, 8, 1);
  image::put_le64(frame, 16, length);
  frame += body;
  const image::ChunkId digest = image::sha256(std::as_bytes(std::span(frame)));
  frame.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
  file += frame + image::file_end(at, frame.size());

  static const Fd fd = *sys::memfd("fuzz");
  GODWIT_CHECK(::ftruncate(fd.get(), static_cast<off_t>(file.size())) == 0);
  GODWIT_CHECK(io::pwrite_full(fd.get(), std::as_bytes(std::span(file)), 0).has_value());
  const auto reader = image::ImageReader::open("/proc/self/fd/" + std::to_string(fd.get()), {.threads = 1});
  if (!reader) return 0;
  (void)(*reader)->verify();
  Nowhere nowhere;
  (void)(*reader)->load_pages(nowhere);
  return 0;
}
