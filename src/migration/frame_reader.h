// Reads frames of one data stream, wherever the bytes come from: all checks on what a peer sends are here, so that the
// fuzzer can reach them without a network.
#pragma once

#include <functional>
#include <vector>

#include "base/raw_buffer.h"
#include "migration/lane.h"
#include "migration/pages.h"

namespace godwit::migration {

class FrameReader {
 public:
  using Source = std::function<Result<void>(std::span<std::byte>)>;  ///< fills the buffer or fails
  explicit FrameReader(Source source) : source_(std::move(source)) {}

  struct Frame {
    Head head;
    std::span<const engine::PageRun> data_runs, zero_runs;
    std::span<const std::byte> content;  ///< unpacked; for a chunk: its id, then its bytes
  };
  /// The next frame, checked: lengths, runs, numbers in order, digest. Valid until the next call.
  Result<Frame> next();
  [[nodiscard]] const Chain& chain() const { return chain_; }

 private:
  Source source_;
  Chain chain_;
  uint64_t number_ = 0;
  uint64_t mark_ = 0;
  std::unique_ptr<ZSTD_DCtx, ZstdFree> zstd_;
  std::vector<std::byte> runs_;
  RawBuffer wire_, content_;
  std::vector<engine::PageRun> list_;
};

}  // namespace godwit::migration
