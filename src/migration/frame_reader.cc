#include "migration/frame_reader.h"

namespace godwit::migration {

Result<FrameReader::Frame> FrameReader::next() {
  std::array<std::byte, kHeadSize> bytes;
  TRY_DO(source_(bytes));
  TRY(const Head head, decode_head(bytes));
  chain_.add(bytes);
  Frame frame;
  frame.head = head;
  if (head.kind == FrameKind::kMark) {
    if (head.number <= mark_) return fail(Code::kCorrupt, "mark " + std::to_string(head.number) + " is out of order");
    mark_ = head.number;
    return frame;
  }
  if (head.number != number_) {
    return fail(Code::kCorrupt, "frame " + std::to_string(head.number) + ", expected " + std::to_string(number_));
  }
  number_++;
  const size_t runs = size_t{head.data_runs} + head.zero_runs;
  runs_.resize(runs * kRunSize);  // at most 256 KiB
  TRY_DO(source_(runs_));
  list_.clear();
  TRY_DO(decode_runs(runs_, list_));
  frame.data_runs = std::span(list_).first(head.data_runs);
  frame.zero_runs = std::span(list_).subspan(head.data_runs);
  if (head.kind == FrameKind::kPages) {
    TRY(const uint64_t bytes_of_runs, total_length(frame.data_runs, head.content_bytes));
    if (bytes_of_runs != head.content_bytes) return fail(Code::kCorrupt, "runs are shorter than their frame's content");
  }
  content_.reserve(kContentLimit);
  const std::span<std::byte> content = content_.first(head.content_bytes);
  if (head.packed) {
    wire_.reserve(kContentLimit);
    const std::span<std::byte> wire = wire_.first(head.wire_bytes);
    TRY_DO(source_(wire));
    if (!zstd_) zstd_.reset(ZSTD_createDCtx());
    // The output's size is fixed beforehand: a frame that would unpack to more fails, whatever it claims of itself.
    const size_t n = ZSTD_decompressDCtx(zstd_.get(), content.data(), content.size(), wire.data(), wire.size());
    if (ZSTD_isError(n) != 0 || n != content.size()) return fail(Code::kCorrupt, "frame doesn't unpack to its length");
  } else {
    TRY_DO(source_(content));
  }
  if (digest_of(runs_, content) != head.digest) return fail(Code::kCorrupt, "frame's content has another digest");
  frame.content = content;
  return frame;
}

}  // namespace godwit::migration
