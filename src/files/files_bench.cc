// What carrying files costs: hashing beside plain reading, and the look at an unchanged or slightly changed directory,
// which is what happens while a unit is frozen.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "base/base.h"
#include "files/files.h"

namespace godwit::files {
namespace {

// Scenes are made small when ctest only wants to know that this file still runs.
bool is_trial() { return ::getenv("GODWIT_BENCH") == nullptr; }

struct Scene {
  explicit Scene(size_t files, size_t bytes) {
    char pattern[] = "/tmp/godwit-files-bench.XXXXXX";
    path = ::mkdtemp(pattern);
    std::string data(bytes, 'x');
    for (size_t i = 0; i < bytes; i += 64) data[i] = static_cast<char>(i * 2654435761u >> 13);
    for (size_t i = 0; i < files; ++i) {
      const auto file = sys::open(path + "/f" + std::to_string(i), O_WRONLY | O_CREAT);
      (void)io::write_full(file->get(), data);
    }
    dir = *sys::open(path, O_RDONLY | O_DIRECTORY);
    ::usleep(150'000);  // until the stamps are settled (hash.h)
  }
  ~Scene() { (void)sys::remove_tree(path); }
  std::string path;
  Fd dir;
};

size_t large() { return is_trial() ? 4u << 20 : 512u << 20; }

void read_only(benchmark::State& state) {
  const Scene scene(1, large());
  std::vector<std::byte> buffer(kChunkSize);
  for (auto _ : state) {
    const Fd file = *sys::open(scene.path + "/f0", O_RDONLY);
    while (*io::read_some(file.get(), buffer) > 0) {
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * large()));
}
BENCHMARK(read_only)->Unit(benchmark::kMillisecond)->UseRealTime();

void hash_new(benchmark::State& state) {
  const Scene scene(1, large());
  for (auto _ : state) benchmark::DoNotOptimize(take(scene.dir, {}));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * large()));
}
BENCHMARK(hash_new)->Unit(benchmark::kMillisecond)->UseRealTime();

void look_again_at_a_changed_file(benchmark::State& state) {
  const Scene scene(1, large());
  Snapshot last = *take(scene.dir, {});
  for (auto _ : state) {
    const Fd file = *sys::open(scene.path + "/f0", O_WRONLY | O_APPEND);
    (void)io::write_full(file.get(), "one more line\n");
    SnapshotOptions options;
    options.previous = &last;
    Snapshot now = *take(scene.dir, options);
    last = std::move(now);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * large()));
}
BENCHMARK(look_again_at_a_changed_file)->Unit(benchmark::kMillisecond)->UseRealTime();

void look_again_at_unchanged_files(benchmark::State& state) {
  const size_t count = is_trial() ? 100 : 10000;
  const Scene scene(count, 4096);
  const Snapshot last = *take(scene.dir, {});
  SnapshotOptions options;
  options.previous = &last;
  for (auto _ : state) benchmark::DoNotOptimize(take(scene.dir, options));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * count));
}
BENCHMARK(look_again_at_unchanged_files)->Unit(benchmark::kMillisecond)->UseRealTime();

void find_in_the_cache(benchmark::State& state) {
  const Scene scene(1, large());
  const Scene kept(0, 0);
  HashCache cache = *HashCache::open(kept.path);
  for (auto _ : state) {
    HashJob job;
    job.open = [&] { return sys::open(scene.path + "/f0", O_RDONLY); };
    hash_files(std::span(&job, 1), &cache, {});
  }
}
BENCHMARK(find_in_the_cache)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace godwit::files
