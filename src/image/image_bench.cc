// Throughput of images beside memcpy of the same bytes. GODWIT_BENCH_MIB sets the memory's size (default 64).
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "image/image.h"
#include "image/testing.h"

namespace godwit::image {
namespace {

using testing::PageRun;
using testing::TemporaryDir;

/// One area of random bytes; reading and writing it is one memcpy.
class FlatMemory : public engine::PageReader, public engine::PageWriter {
 public:
  static FlatMemory& shared() {
    static FlatMemory memory;
    return memory;
  }
  [[nodiscard]] PageRun all() const { return {0, kBase, bytes_.size()}; }
  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(bytes_.size()); }
  [[nodiscard]] std::vector<std::byte>& bytes() { return bytes_; }
  /// Changes one byte in each of `count` pages spread over the memory.
  void dirty(size_t count, unsigned char with) {
    for (size_t i = 0; i < count; i++) bytes_[bytes_.size() / count * i] = std::byte{with};
  }

  Result<void> read(std::span<const PageRun> runs, std::span<std::byte> out) override {
    for (const PageRun& run : runs) {
      std::memcpy(out.data(), at(run), run.length);
      out = out.subspan(run.length);
    }
    return {};
  }
  Result<void> write(std::span<const PageRun> runs, std::span<const std::byte> data) override {
    for (const PageRun& run : runs) {
      std::memcpy(at(run), data.data(), run.length);
      data = data.subspan(run.length);
    }
    return {};
  }
  Result<void> zero(std::span<const PageRun> runs) override {
    for (const PageRun& run : runs) std::memset(at(run), 0, run.length);
    return {};
  }

 private:
  static constexpr uint64_t kBase = 0x100000000;
  FlatMemory() {
    const char* mib = std::getenv("GODWIT_BENCH_MIB");
    bytes_.resize((mib != nullptr ? std::strtoull(mib, nullptr, 10) : 64) << 20);
    std::mt19937_64 random(1);
    for (size_t i = 0; i < bytes_.size(); i += 8) {
      const uint64_t word = random();
      std::memcpy(bytes_.data() + i, &word, 8);
    }
  }
  std::byte* at(const PageRun& run) { return bytes_.data() + (run.address - kBase); }
  std::vector<std::byte> bytes_;
};

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * FlatMemory::shared().size());
}

void copy_by_memcpy(benchmark::State& state) {
  FlatMemory& memory = FlatMemory::shared();
  std::vector<std::byte> to(memory.bytes().size());
  for (auto _ : state) {
    std::memcpy(to.data(), memory.bytes().data(), to.size());
    benchmark::ClobberMemory();
  }
  count_bytes(state);
}
BENCHMARK(copy_by_memcpy)->UseRealTime()->Unit(benchmark::kMillisecond);

enum Form { kDirectory, kFile };

Result<Written> write_image(const std::string& path, Form form, int zstd_level) {
  FlatMemory& memory = FlatMemory::shared();
  const WriteOptions options{.zstd_level = zstd_level};
  TRY(auto writer, form == kDirectory ? ImageWriter::to_directory(path, options) : ImageWriter::to_file(path, options));
  const PageRun all = memory.all();
  TRY_DO(writer->pages(std::span(&all, 1), memory));
  return writer->finish(new_manifest());
}

void write_pack(benchmark::State& state) {
  const TemporaryDir dir;
  for (auto _ : state) {
    if (!write_image(dir / "image", static_cast<Form>(state.range(0)), static_cast<int>(state.range(1))))
      return state.SkipWithError("write");
    state.PauseTiming();
    (void)sys::remove_tree(dir / "image");
    state.ResumeTiming();
  }
  count_bytes(state);
}
BENCHMARK(write_pack)
    ->Args({kDirectory, 0})
    ->Args({kFile, 0})
    ->Args({kDirectory, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void read_pack(benchmark::State& state) {
  const TemporaryDir dir;
  if (!write_image(dir / "image", static_cast<Form>(state.range(0)), static_cast<int>(state.range(1))))
    return state.SkipWithError("write");
  for (auto _ : state) {
    const auto image = ImageReader::open(dir / "image");
    if (!image || !(*image)->load_pages(FlatMemory::shared())) return state.SkipWithError("read");
  }
  count_bytes(state);
}
BENCHMARK(read_pack)
    ->Args({kDirectory, 0})
    ->Args({kFile, 0})
    ->Args({kDirectory, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

/// A first checkpoint of everything; with `changed`, one more after a byte in each of that many pages was written.
void write_store(benchmark::State& state) {
  const TemporaryDir dir;
  const auto changed = static_cast<size_t>(state.range(0));
  FlatMemory& memory = FlatMemory::shared();
  uint64_t added = 0;
  unsigned char fill = 0;
  std::unique_ptr<ChunkStore> store;
  std::optional<History> history;
  const auto fresh = [&] {
    history.reset();
    (void)sys::remove_tree(dir / "state");
    if (auto made = ChunkStore::open(dir / "state/chunks", {})) store = std::move(*made);
    if (auto made = History::open(dir / "state/history", *store)) history.emplace(std::move(*made));
  };
  const auto checkpoint = [&]() -> Result<Written> {
    TRY(auto writer, ImageWriter::to_history(*history, {}));
    const PageRun all = memory.all();
    TRY_DO(writer->pages(std::span(&all, 1), memory));
    Manifest m = new_manifest();
    m.unit.assign("unit-1");
    return writer->finish(m);
  };
  fresh();
  if (changed != 0 && !checkpoint()) return state.SkipWithError("first checkpoint");
  for (auto _ : state) {
    state.PauseTiming();
    if (changed != 0)
      memory.dirty(changed, ++fill);
    else
      fresh();
    state.ResumeTiming();
    const auto written = checkpoint();
    if (!written) return state.SkipWithError("checkpoint");
    added = written->bytes_stored;
  }
  state.counters["added_MiB"] = static_cast<double>(added) / (1 << 20);
  count_bytes(state);
}
BENCHMARK(write_store)->Arg(0)->Arg(1)->Arg(100)->UseRealTime()->Unit(benchmark::kMillisecond);

void digest_sha256(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(sha256(FlatMemory::shared().bytes()));
  count_bytes(state);
}
BENCHMARK(digest_sha256)->UseRealTime()->Unit(benchmark::kMillisecond);

void digest_xxh3(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(xxh3_128(FlatMemory::shared().bytes()));
  count_bytes(state);
}
BENCHMARK(digest_xxh3)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace godwit::image
