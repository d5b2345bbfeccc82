// libFuzzer: whatever a peer sends on a data stream or on stream 0 is refused or understood, never a crash, never an
// allocation that the input did not pay for.
#include <cstdlib>
#include <cstring>

#include "godwit/stream.pb.h"
#include "link/link.h"
#include "migration/frame_reader.h"

using namespace godwit;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  if (data[0] % 3 == 0) {
    wire::stream::Control message;
    (void)message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
    return 0;
  }
  if (data[0] % 3 == 1) {
    if (bytes.size() >= link::kPreambleSize) (void)link::decode(bytes.first<link::kPreambleSize>());
    return 0;
  }
  auto rest = bytes;
  migration::FrameReader reader([&](std::span<std::byte> out) -> Result<void> {
    if (rest.size() < out.size()) return fail(Code::kPeer, "end");
    if (!out.empty()) std::memcpy(out.data(), rest.data(), out.size());
    rest = rest.subspan(out.size());
    return {};
  });
  for (;;) {
    const auto frame = reader.next();
    if (!frame) return 0;
    uint64_t sum = 0;
    for (const auto& run : frame->data_runs) sum += run.length;
    if (frame->head.kind == migration::FrameKind::kPages && sum != frame->content.size()) std::abort();
  }
}
