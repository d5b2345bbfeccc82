// Memory through one and two streams, beside one plain TLS copy of the same bytes on loopback.
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "migration/pages.h"
#include "migration/test_kit.h"

namespace godwit::migration {
namespace {

// GODWIT_BENCH_MIB=1024 for the figures in the documentation; small by default, so that ctest can run it each time.
const size_t kBytes = [] {
  const char* mib = std::getenv("GODWIT_BENCH_MIB");
  return (mib != nullptr ? std::strtoull(mib, nullptr, 10) : 64) << 20;
}();

struct Memory : engine::PageReader, engine::PageWriter, engine::DestinationEngine {
  std::vector<std::byte> from, to;
  Memory() : from(kBytes), to(kBytes) {
    std::mt19937_64 random(1);
    for (size_t i = 0; i < kBytes; i += 64) {  // touched, and no page is zero
      const uint64_t w = random();
      std::memcpy(from.data() + i, &w, sizeof w);
    }
    std::memset(to.data(), 1, kBytes);
  }
  Result<void> read(std::span<const engine::PageRun> runs, std::span<std::byte> out) override {
    for (const auto& r : runs) {
      std::memcpy(out.data(), from.data() + r.address, r.length);
      out = out.subspan(r.length);
    }
    return {};
  }
  Result<void> write(std::span<const engine::PageRun> runs, std::span<const std::byte> data) override {
    for (const auto& r : runs) {
      std::memcpy(to.data() + r.address, data.data(), r.length);
      data = data.subspan(r.length);
    }
    return {};
  }
  Result<void> zero(std::span<const engine::PageRun>) override { return {}; }
  Result<std::vector<engine::Blocker>> admit(const std::string&) override { return {}; }
  Result<void> prepare(const std::string&) override { return {}; }
  engine::PageWriter& writer() override { return *this; }
  Result<void> restore(const std::string&) override { return {}; }
  Result<void> resume() override { return {}; }
  Result<void> discard() override { return {}; }
};
Memory& memory() {
  static Memory m;
  return m;
}

double cpu_seconds() {
  rusage u{};
  ::getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

struct Pair {
  std::unique_ptr<TlsStream> client, server;
};
Pair connect_pair() {
  kit::Daemon daemon;
  Pair pair;
  Fd accepted;
  std::atomic<bool> there{false};
  daemon.serve([&](const link::Preamble&, Fd s) {
    accepted = std::move(s);
    there = true;
    there.notify_all();
  });
  Fd dialled = std::move(*dial(daemon.endpoint(), std::chrono::seconds(5)));
  (void)!::send(dialled.get(), link::encode({"0123456789abcdef", 0, 1}).data(), link::kPreambleSize, MSG_NOSIGNAL);
  there.wait(false);
  std::jthread server([&] {
    pair.server = std::move(*TlsStream::handshake(std::move(accepted), kit::certificates().server.get(),
                                                  pki::Side::kServer, "node-a", std::chrono::seconds(5)));
  });
  pair.client = std::move(*TlsStream::handshake(std::move(dialled), kit::certificates().client.get(),
                                                pki::Side::kClient, "node-b", std::chrono::seconds(5)));
  server.join();
  return pair;
}

/// The floor: the same bytes, written and read as they are, on one TLS connection.
void plain_tls(benchmark::State& state) {
  Memory& m = memory();
  double cpu = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const Pair pair = connect_pair();
    const double before = cpu_seconds();
    state.ResumeTiming();
    std::jthread reader([&] {
      for (size_t at = 0; at < kBytes; at += kBatchBytes) {
        GODWIT_CHECK(pair.server->read(std::span(m.to).subspan(at, kBatchBytes), std::chrono::seconds(5)).has_value());
      }
    });
    for (size_t at = 0; at < kBytes; at += kBatchBytes) {
      GODWIT_CHECK(pair.client->write(std::span(m.from).subspan(at, kBatchBytes), std::chrono::seconds(5)).has_value());
    }
    reader.join();
    cpu += cpu_seconds() - before;
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kBytes));
  state.counters["cpu_s"] = cpu / static_cast<double>(state.iterations());
}

void pages(benchmark::State& state) {
  Memory& m = memory();
  double cpu = 0;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<Pair> pairs;
    std::vector<TlsStream*> out, in;
    for (int i = 0; i < state.range(0); i++) {
      pairs.push_back(connect_pair());
      out.push_back(pairs.back().client.get());
      in.push_back(pairs.back().server.get());
    }
    PageSender sender(out, {});
    PageReceiver receiver(in, m, nullptr, [](const Error&) {});
    GODWIT_CHECK(receiver.prepare([] { return Result<void>(); }).has_value());
    const double before = cpu_seconds();
    state.ResumeTiming();
    const engine::PageRun all[] = {{0, 0, kBytes}};
    GODWIT_CHECK(sender.pages(all, m).has_value());
    GODWIT_CHECK(sender.mark(1).has_value());
    GODWIT_CHECK(receiver.wait_mark(1).has_value());
    state.PauseTiming();
    cpu += cpu_seconds() - before;
    GODWIT_CHECK(sender.root() == receiver.root());
    GODWIT_CHECK(std::memcmp(m.from.data(), m.to.data(), kBytes) == 0);
    state.ResumeTiming();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kBytes));
  state.counters["cpu_s"] = cpu / static_cast<double>(state.iterations());
}

void copy(benchmark::State& state) {
  Memory& m = memory();
  for (auto _ : state) std::memcpy(m.to.data(), m.from.data(), kBytes);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kBytes));
}

BENCHMARK(copy)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(plain_tls)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(pages)->Arg(1)->Arg(2)->Arg(3)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace godwit::migration
