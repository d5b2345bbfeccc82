// PageSender. One lane a stream; lane 0 is worked by the calling thread, so that a small unit costs no wake-up at all.
#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/raw_buffer.h"
#include "migration/lane.h"
#include "migration/packer.h"
#include "migration/pages.h"

namespace godwit::migration {

using engine::PageRun;

namespace {
constexpr uint64_t kStripe = 1u << 20;
constexpr size_t kBatchRuns = 4096;
}  // namespace

Digest256 sha256(std::span<const std::byte> data) {
  Digest256 out;
  GODWIT_CHECK(EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr, EVP_sha256(),
                          nullptr) == 1);
  return out;
}

struct PageSender::Lane {
  Lane(TlsStream* s, const Options& options, std::atomic<uint64_t>& raw)
      : stream(s), stall(options.stall), raw_bytes(raw), policy(options.zstd_level) {}

  TlsStream* stream;
  Nanos stall;
  std::atomic<uint64_t>& raw_bytes;                    // of all lanes
  const Options* teller = nullptr;  // lane 0's only
  Nanos last_told = monotonic_now();
  Chain chain;
  PackPolicy policy;
  Traffic traffic;
  uint64_t number = 0;
  std::unique_ptr<ZSTD_CCtx, ZstdFree> zstd;
  // Content lies in front, 32 bytes before it are kept for a chunk's id.
  RawBuffer content, packed;
  std::vector<std::byte> runs;
  std::vector<PageRun> mine, data_runs, zero_runs;
  Chunk chunk;

  // The worker's side; lane 0 has no thread.
  std::mutex mutex;
  std::condition_variable wake;
  const std::function<Result<void>(Lane&)>* job = nullptr;  // guarded by mutex
  bool ending = false;                                      // guarded by mutex
  std::optional<Error> error;                               // guarded by mutex
  std::jthread thread;

  void work();
  Result<void> send(FrameKind kind, std::span<const std::byte> body);
  Result<void> send_pages(engine::PageReader& reader);
  Result<void> send_batch(std::span<const PageRun> batch, size_t bytes, engine::PageReader& reader);
  Result<void> send_holes();
  std::span<const std::byte> encode_runs();
};

void PageSender::Lane::work() {
  for (;;) {
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return ending || job != nullptr; });
    if (ending) return;
    const auto* const todo = job;
    lock.unlock();
    auto done = (*todo)(*this);
    lock.lock();
    if (!done) error = std::move(done).error();
    job = nullptr;
    wake.notify_all();
  }
}

std::span<const std::byte> PageSender::Lane::encode_runs() {
  runs.resize((data_runs.size() + zero_runs.size()) * kRunSize);
  std::byte* at = runs.data();
  for (const auto* list : {&data_runs, &zero_runs}) {
    for (const auto& run : *list) {
      encode(run, std::span<std::byte, kRunSize>(at, kRunSize));
      at += kRunSize;
    }
  }
  return runs;
}

Result<void> PageSender::Lane::send(FrameKind kind, std::span<const std::byte> body) {
  const std::span<const std::byte> described = kind == FrameKind::kPages ? encode_runs() : std::span<const std::byte>();
  Head head;
  head.kind = kind;
  head.data_runs = kind == FrameKind::kPages ? static_cast<uint32_t>(data_runs.size()) : 0;
  head.zero_runs = kind == FrameKind::kPages ? static_cast<uint32_t>(zero_runs.size()) : 0;
  head.content_bytes = static_cast<uint32_t>(body.size());
  head.number = number++;
  head.digest = digest_of(described, body);
  std::span<const std::byte> wire = body;
  if (!body.empty() && policy.next()) {
    if (!zstd) {
      zstd.reset(ZSTD_createCCtx());
      packed.reserve(ZSTD_compressBound(kContentLimit));
    }
    const Nanos start = monotonic_now();
    const size_t n =
        ZSTD_compressCCtx(zstd.get(), packed.data(), packed.size(), body.data(), body.size(), policy.level());
    const bool smaller = ZSTD_isError(n) == 0 && n < body.size();
    policy.packed(body.size(), smaller ? n : body.size(), static_cast<double>((monotonic_now() - start).count()));
    if (smaller) {
      wire = packed.first(n);
      head.packed = true;
      traffic.packed_frames++;
    }
  }
  head.wire_bytes = static_cast<uint32_t>(wire.size());
  std::array<std::byte, kHeadSize> bytes;
  encode(head, bytes);
  chain.add(bytes);
  const Nanos start = monotonic_now();
  TRY_DO(stream->write({bytes, described, wire}, stall));
  const size_t total = bytes.size() + described.size() + wire.size();
  if (body.size() >= kBatchBytes / 2) policy.written(total, static_cast<double>((monotonic_now() - start).count()));
  traffic.wire_bytes += total;
  traffic.raw_bytes += body.size();
  raw_bytes.fetch_add(body.size(), std::memory_order_relaxed);
  if (teller != nullptr && start - last_told >= teller->progress) {
    last_told = start;
    teller->told(raw_bytes.load(std::memory_order_relaxed));
  }
  return {};
}

Result<void> PageSender::Lane::send_batch(std::span<const PageRun> batch, size_t bytes, engine::PageReader& reader) {
  const std::span<std::byte> buffer = content.first(bytes);
  TRY_DO(reader.read(batch, buffer));
  data_runs.clear();
  zero_runs.clear();
  const auto extend = [](std::vector<PageRun>& list, engine::SpaceId space, uint64_t address) {
    if (!list.empty() && list.back().space == space && list.back().address + list.back().length == address) {
      list.back().length += kPageSize;
    } else {
      list.push_back({space, address, kPageSize});
    }
  };
  std::byte* from = buffer.data();
  std::byte* to = buffer.data();
  for (const auto& run : batch) {
    for (uint64_t at = 0; at < run.length; at += kPageSize, from += kPageSize) {
      if (is_zero_page(from)) {
        extend(zero_runs, run.space, run.address + at);
        traffic.zero_pages++;
        continue;
      }
      extend(data_runs, run.space, run.address + at);
      if (to != from) std::memcpy(to, from, kPageSize);
      to += kPageSize;
    }
  }
  return send(FrameKind::kPages, buffer.first(static_cast<size_t>(to - buffer.data())));
}

Result<void> PageSender::Lane::send_pages(engine::PageReader& reader) {
  content.reserve(kContentLimit);
  std::vector<PageRun> batch;
  size_t bytes = 0;
  for (PageRun run : mine) {
    while (run.length > 0) {
      const uint64_t part = std::min<uint64_t>(run.length, kBatchBytes - bytes);
      batch.push_back({run.space, run.address, part});
      run.address += part;
      run.length -= part;
      bytes += part;
      if (bytes == kBatchBytes || batch.size() == kBatchRuns) {
        TRY_DO(send_batch(batch, bytes, reader));
        batch.clear();
        bytes = 0;
      }
    }
  }
  if (!batch.empty()) TRY_DO(send_batch(batch, bytes, reader));
  return {};
}

Result<void> PageSender::Lane::send_holes() {
  for (size_t at = 0; at < mine.size(); at += kBatchRuns) {
    data_runs.clear();
    zero_runs.assign(mine.begin() + static_cast<ptrdiff_t>(at),
                     mine.begin() + static_cast<ptrdiff_t>(std::min(mine.size(), at + kBatchRuns)));
    TRY_DO(send(FrameKind::kPages, {}));
  }
  return {};
}

PageSender::PageSender(std::vector<TlsStream*> streams, Options options) : options_(std::move(options)) {
  for (TlsStream* s : streams) lanes_.push_back(std::make_unique<Lane>(s, options_, raw_bytes_));
  if (!lanes_.empty() && options_.told) lanes_.front()->teller = &options_;
  for (size_t i = 1; i < lanes_.size(); i++)
    lanes_[i]->thread = std::jthread([lane = lanes_[i].get()] { lane->work(); });
}

PageSender::~PageSender() {
  for (auto& lane : lanes_) {
    const std::scoped_lock lock(lane->mutex);
    lane->ending = true;
    lane->wake.notify_all();
  }
}

Result<void> PageSender::on_lanes(const std::function<Result<void>(Lane&)>& job, std::span<const uint8_t> wanted) {
  for (size_t i = 1; i < lanes_.size(); i++) {
    if (wanted[i] == 0) continue;
    const std::scoped_lock lock(lanes_[i]->mutex);
    lanes_[i]->job = &job;
    lanes_[i]->wake.notify_all();
  }
  Result<void> result = wanted[0] != 0 ? job(*lanes_[0]) : Result<void>();
  for (size_t i = 1; i < lanes_.size(); i++) {
    Lane& lane = *lanes_[i];
    std::unique_lock lock(lane.mutex);
    lane.wake.wait(lock, [&] { return lane.job == nullptr; });
    if (lane.error && result) result = std::unexpected(*lane.error);
  }
  return result;
}

void PageSender::deal(std::span<const PageRun> runs) {
  for (auto& lane : lanes_) lane->mine.clear();
  const size_t n = lanes_.size();
  for (const PageRun& run : runs) {
    if (n == 1) {
      lanes_[0]->mine.push_back(run);
      continue;
    }
    for (uint64_t at = run.address, end = run.address + run.length; at < end;) {
      const uint64_t next = std::min(end, (at / kStripe + 1) * kStripe);
      lanes_[(at / kStripe + run.space) % n]->mine.push_back({run.space, at, next - at});
      at = next;
    }
  }
}

Result<void> PageSender::pages(std::span<const PageRun> runs, engine::PageReader& reader) {
  deal(runs);
  std::vector<uint8_t> wanted;
  for (const auto& lane : lanes_) wanted.push_back(lane->mine.empty() ? 0 : 1);
  return on_lanes([&](Lane& lane) { return lane.send_pages(reader); }, wanted);
}

Result<void> PageSender::holes(std::span<const PageRun> runs) {
  deal(runs);
  for (auto& lane : lanes_) TRY_DO(lane->send_holes());
  return {};
}

Result<void> PageSender::chunks(size_t count, const std::function<Result<void>(size_t, Chunk&)>& read) {
  std::atomic<size_t> next{0};
  const auto job = [&](Lane& lane) -> Result<void> {
    lane.content.reserve(kContentLimit);
    for (size_t i = next++; i < count; i = next++) {
      TRY_DO(read(i, lane.chunk));
      const size_t size = lane.chunk.data.size();
      if (size == 0) continue;
      GODWIT_CHECK(size + kChunkIdSize <= kContentLimit);
      std::memcpy(lane.content.data(), lane.chunk.id.data(), kChunkIdSize);
      std::memcpy(lane.content.data() + kChunkIdSize, lane.chunk.data.data(), size);
      TRY_DO(lane.send(FrameKind::kChunk, lane.content.first(kChunkIdSize + size)));
    }
    return {};
  };
  return on_lanes(job, std::vector<uint8_t>(lanes_.size(), 1));
}

Result<void> PageSender::mark(uint64_t number) {
  for (auto& lane : lanes_) {
    Head head;
    head.number = number;
    std::array<std::byte, kHeadSize> bytes;
    encode(head, bytes);
    lane->chain.add(bytes);
    TRY_DO(lane->stream->write(bytes, options_.stall));
    lane->traffic.wire_bytes += bytes.size();
  }
  return {};
}

Digest256 PageSender::root() const {
  std::vector<std::byte> all;
  for (const auto& lane : lanes_) {
    const Digest256 d = lane->chain.value();
    all.insert(all.end(), d.begin(), d.end());
  }
  return sha256(all);
}

Traffic PageSender::traffic() const {
  Traffic sum;
  for (const auto& lane : lanes_) {
    sum.wire_bytes += lane->traffic.wire_bytes;
    sum.raw_bytes += lane->traffic.raw_bytes;
    sum.zero_pages += lane->traffic.zero_pages;
    sum.packed_frames += lane->traffic.packed_frames;
  }
  return sum;
}

}  // namespace godwit::migration
