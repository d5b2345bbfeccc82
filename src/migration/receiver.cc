// PageReceiver: one thread a stream reads frames and gives them to the engine.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <thread>

#include "migration/frame_reader.h"

namespace godwit::migration {

struct PageReceiver::Shared {
  engine::DestinationEngine& engine;
  ChunkWriter* chunks;
  std::function<void(const Error&)> failed;
  // Held shared while a frame is applied, alone while the engine builds. `open` is guarded by it.
  std::shared_mutex gate;
  bool open = false;
  std::mutex mutex;  // guards what follows; taken after `gate`, never before it
  std::condition_variable changed;
  std::optional<Error> error;
  bool stopping = false;

  void fail_once(const Error& e) {
    {
      const std::scoped_lock lock(mutex);
      if (error || stopping) return;
      error = e;
      changed.notify_all();
    }
    failed(e);
  }
};

struct PageReceiver::Lane {
  TlsStream* stream = nullptr;
  std::unique_ptr<FrameReader> frames;
  uint64_t mark = 0;         // guarded by Shared::mutex
  Digest256 chain_at_mark{};  // guarded by Shared::mutex
  std::atomic<uint64_t> wire_bytes{0}, raw_bytes{0}, zero_pages{0};
  std::jthread thread;

  Result<void> run(Shared& shared);
};

Result<void> PageReceiver::Lane::run(Shared& shared) {
  for (;;) {
    TRY(const FrameReader::Frame frame, frames->next());
    wire_bytes = stream->bytes_read();
    switch (frame.head.kind) {
      case FrameKind::kMark: {
        const std::scoped_lock lock(shared.mutex);
        mark = frame.head.number;
        chain_at_mark = frames->chain().value();
        shared.changed.notify_all();
        break;
      }
      case FrameKind::kChunk: {
        if (shared.chunks == nullptr) return fail(Code::kCorrupt, "file content that nobody asked for");
        TRY_DO(shared.chunks->chunk(frame.content.first<kChunkIdSize>(), frame.content.subspan(kChunkIdSize)));
        raw_bytes += frame.content.size() - kChunkIdSize;
        break;
      }
      case FrameKind::kPages: {
        const std::shared_lock lock(shared.gate);
        if (!shared.open) return fail(Code::kCorrupt, "memory before its outline");
        engine::PageWriter& writer = shared.engine.writer();
        if (!frame.data_runs.empty()) TRY_DO(writer.write(frame.data_runs, frame.content));
        if (!frame.zero_runs.empty()) TRY_DO(writer.zero(frame.zero_runs));
        raw_bytes += frame.content.size();
        for (const auto& run : frame.zero_runs) zero_pages += run.length / kPageSize;
        break;
      }
    }
  }
}

PageReceiver::PageReceiver(std::vector<TlsStream*> streams, engine::DestinationEngine& engine, ChunkWriter* chunks,
                           std::function<void(const Error&)> failed)
    : shared_(new Shared{engine, chunks, std::move(failed)}) {
  for (TlsStream* s : streams) {
    auto& lane = lanes_.emplace_back(std::make_unique<Lane>());
    lane->stream = s;
    // Without a time limit: rounds may be far apart. Whether the source lives is stream 0's to know; its loss stops us.
    lane->frames = std::make_unique<FrameReader>([s](std::span<std::byte> out) { return s->read(out, Nanos(0)); });
  }
  for (auto& lane : lanes_) {
    lane->thread = std::jthread([this, l = lane.get()] {
      if (auto r = l->run(*shared_); !r) shared_->fail_once(r.error());
    });
  }
}

PageReceiver::~PageReceiver() {
  stop();
  for (auto& lane : lanes_) lane->thread.join();
}

void PageReceiver::stop() {
  {
    const std::scoped_lock lock(shared_->mutex);
    shared_->stopping = true;
    shared_->changed.notify_all();
  }
  for (auto& lane : lanes_) lane->stream->cancel();
}

Result<void> PageReceiver::prepare(const std::function<Result<void>()>& change) {
  const std::unique_lock lock(shared_->gate);
  TRY_DO(change());
  shared_->open = true;
  return {};
}

Result<void> PageReceiver::wait_mark(uint64_t number) {
  std::unique_lock lock(shared_->mutex);
  const auto there = [&] { return std::ranges::all_of(lanes_, [&](const auto& l) { return l->mark >= number; }); };
  shared_->changed.wait(lock, [&] { return there() || shared_->error || shared_->stopping; });
  if (there()) return {};
  if (shared_->error) return std::unexpected(*shared_->error);
  return fail(Code::kPeer, "the streams were closed");
}

void PageReceiver::close() {
  const std::unique_lock lock(shared_->gate);
  shared_->open = false;
}

Digest256 PageReceiver::root() const {
  const std::scoped_lock lock(shared_->mutex);
  std::vector<std::byte> all;
  for (const auto& lane : lanes_) {
    all.insert(all.end(), lane->chain_at_mark.begin(), lane->chain_at_mark.end());
  }
  return sha256(all);
}

Traffic PageReceiver::traffic() const {
  Traffic sum;
  for (const auto& lane : lanes_) {
    sum.wire_bytes += lane->wire_bytes;
    sum.raw_bytes += lane->raw_bytes;
    sum.zero_pages += lane->zero_pages;
  }
  return sum;
}

}  // namespace godwit::migration
