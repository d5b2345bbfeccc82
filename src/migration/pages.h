// The data streams: PageSender spreads memory and file chunks over N of them, PageReceiver hands what arrives to an engine.
//
// Order. A page always travels on the same stream: 1 MiB stripes of each space's addresses are dealt out round robin. So
// a stream's order is a page's order, and no number or barrier is needed to let the newest content win. A mark, sent on
// every stream, tells the destination that all before it was applied.
//
// Cost. Each stream has one thread at each end; the content of a frame is read by the engine straight into the buffer
// that is encrypted from. Per 512 KiB: one read, one look for zero pages, one XXH3, AES. Nothing is allocated per frame.
//
// Digest. Each stream's chain is SHA-256 over its frame heads (which hold the XXH3 of their content); the root is SHA-256
// over the chains. Costs nothing, and catches a frame that was lost, doubled, reordered or damaged by software.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "migration/frame.h"
#include "migration/tls_stream.h"

namespace godwit::migration {

using Digest256 = std::array<std::byte, 32>;
Digest256 sha256(std::span<const std::byte> data);

/// Totals over all streams.
struct Traffic {
  uint64_t wire_bytes = 0;  ///< of frames, before TLS adds its 22 bytes a record
  uint64_t raw_bytes = 0;  ///< page and chunk content before compression
  uint64_t zero_pages = 0;  ///< left out because they were zero
  uint64_t packed_frames = 0;
};

class PageSender : public engine::PageSink {
 public:
  struct Options {
    int zstd_level = 0;  ///< 0: level 1 when it pays; -1: never; > 0: always
    Nanos stall = std::chrono::seconds(20);
    /// Called by the thread that sends while it does, not more often than `progress`: raw bytes since the beginning.
    std::function<void(uint64_t)> told = {};
    Nanos progress = {};
  };
  /// The streams must outlive it.
  PageSender(std::vector<TlsStream*> streams, Options options);
  ~PageSender() override;

  Result<void> pages(std::span<const engine::PageRun> runs, engine::PageReader& reader) override;
  Result<void> holes(std::span<const engine::PageRun> runs) override;

  /// File chunks, `count` of them, read by `read(i, id, data)` on the stream threads (data: at most 1 MiB; left empty,
  /// the chunk is skipped).
  struct Chunk {
    std::array<std::byte, kChunkIdSize> id{};
    std::vector<std::byte> data;
  };
  Result<void> chunks(size_t count, const std::function<Result<void>(size_t, Chunk&)>& read);

  /// Ends a round: each stream carries `number` behind what was sent.
  Result<void> mark(uint64_t number);
  [[nodiscard]] Digest256 root() const;
  [[nodiscard]] Traffic traffic() const;

 private:
  struct Lane;
  Result<void> on_lanes(const std::function<Result<void>(Lane&)>& job, std::span<const uint8_t> wanted);
  void deal(std::span<const engine::PageRun> runs);

  const Options options_;
  std::atomic<uint64_t> raw_bytes_ = 0;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

/// Where file chunks arrive. Thread-safe, like engine::PageWriter.
class ChunkWriter {
 public:
  virtual ~ChunkWriter() = default;
  virtual Result<void> chunk(std::span<const std::byte, kChunkIdSize> id, std::span<const std::byte> data) = 0;
};

class PageReceiver {
 public:
  /// `failed` is called once, from a stream's thread, when a stream ended or brought something wrong.
  PageReceiver(std::vector<TlsStream*> streams, engine::DestinationEngine& engine, ChunkWriter* chunks,
               std::function<void(const Error&)> failed);
  /// Ends the threads; the streams are cancelled.
  ~PageReceiver();

  /// Runs `change` (the engine's prepare) while no stream writes; pages are accepted from then on.
  Result<void> prepare(const std::function<Result<void>()>& change);
  /// Waits until every stream has brought `number` or a later mark. Ends early when a stream failed or stop() was called.
  Result<void> wait_mark(uint64_t number);
  void stop();
  /// No more memory is accepted: what would come now came after the end.
  void close();
  /// The root up to the last mark of each stream.
  [[nodiscard]] Digest256 root() const;
  [[nodiscard]] Traffic traffic() const;

 private:
  struct Lane;
  struct Shared;
  std::unique_ptr<Shared> shared_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace godwit::migration
