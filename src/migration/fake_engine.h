// For tests: a unit whose memory is plain buffers and which writes to itself at random while it runs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "base/clock.h"
#include "engine/engine.h"
#include "migration/pages.h"

namespace godwit::migration::fake {

using engine::PageRun;
using engine::SpaceId;

/// What the tests look at; may lie in memory that processes share.
struct Flags {
  std::atomic<int> source_runs{1}, source_copy{1}, destination_runs{0}, destination_copy{0};
  std::atomic<int> equal{0}, both_ran{0}, source_held{0};
};

inline std::string digest_of_memory(const std::map<SpaceId, std::vector<std::byte>>& spaces) {
  std::string all;
  for (const auto& [id, bytes] : spaces) {
    const auto d = sha256(bytes);
    all += std::to_string(id) + ":" + std::string(reinterpret_cast<const char*>(d.data()), d.size());
  }
  return all;
}

class Source : public engine::SourceEngine, public engine::PageReader {
 public:
  Source(Flags& flags, uint64_t seed, std::vector<size_t> pages, double dirty_per_ms)
      : flags_(flags), random_(seed), dirty_per_ms_(dirty_per_ms) {
    for (SpaceId i = 0; i < pages.size(); i++) add_space(i, pages[i]);
    run();
  }
  ~Source() override { stop(); }

  Result<engine::Inspection> inspect() override {
    return engine::Inspection{blockers, "demands", outline(), memory_bytes()};
  }
  Result<void> start_precopy() override { return {}; }
  Result<engine::Round> precopy_round(engine::PageSink& sink, std::string& renewed) override {
    if (rounds_++ == 1 && grows) {  // an area that comes while the unit runs
      const std::scoped_lock lock(mutex_);
      add_space(static_cast<SpaceId>(spaces_.size()), 7);
    }
    engine::Round round;
    std::vector<PageRun> runs = take_dirty(/*known=*/announced_);
    if (announced_ != spaces_.size()) {
      announced_ = spaces_.size();
      renewed = outline();
    }
    for (const auto& r : runs) round.pages_dirty += r.length / kPageSize;
    if (auto r = sink.pages(runs, *this); !r) return std::unexpected(r.error());
    return round;
  }
  Result<std::string> freeze() override {
    stop();
    flags_.source_runs = 0;
    if (grows) add_space(static_cast<SpaceId>(spaces_.size()), 3);
    return outline();
  }
  Result<std::string> capture(engine::PageSink& sink) override {
    if (!holes.empty()) {
      for (const auto& h : holes) std::memset(spaces_[h.space].data() + h.address, 0, h.length);
      if (auto r = sink.holes(holes); !r) return std::unexpected(r.error());
    }
    if (auto r = sink.pages(take_dirty(spaces_.size()), *this); !r) return std::unexpected(r.error());
    return digest_of_memory(spaces_);
  }
  /// Space 0 follows, all else is sent.
  Result<engine::LateCapture> capture_lazily(engine::PageSink& sink) override {
    std::vector<PageRun> now;
    for (const auto& [id, bytes] : spaces_) {
      if (id != 0) now.push_back({id, 0, bytes.size()});
    }
    if (auto r = sink.pages(now, *this); !r) return std::unexpected(r.error());
    return engine::LateCapture{digest_of_memory(spaces_), {{0, 0, spaces_[0].size()}}, this};
  }
  Result<void> hold_memory() override {
    flags_.source_held = 1;
    return {};
  }
  Result<void> thaw() override {
    if (flags_.source_held != 0) flags_.both_ran = 1;
    if (flags_.source_runs == 0) {
      flags_.source_runs = 1;
      if (flags_.destination_runs != 0) flags_.both_ran = 1;
      run();
    }
    return {};
  }
  Result<void> discard() override {
    stop();
    flags_.source_runs = flags_.source_copy = 0;
    return {};
  }
  Result<void> read(std::span<const PageRun> runs, std::span<std::byte> out) override {
    const std::scoped_lock lock(mutex_);
    for (const auto& r : runs) {
      std::memcpy(out.data(), spaces_[r.space].data() + r.address, r.length);
      out = out.subspan(r.length);
    }
    return {};
  }
  [[nodiscard]] uint64_t memory_bytes() const {
    uint64_t n = 0;
    for (const auto& [id, bytes] : spaces_) n += bytes.size();
    return n;
  }
  [[nodiscard]] unsigned rounds() const { return rounds_; }

  std::vector<engine::Blocker> blockers;
  std::vector<PageRun> holes;  ///< dropped while it is frozen
  bool grows = false;          ///< areas come during pre-copy and before the freeze

 private:
  void add_space(SpaceId id, size_t pages) {
    auto& bytes = spaces_[id];
    bytes.resize(pages * kPageSize);
    dirty_[id].assign(pages, true);
    for (size_t p = 0; p < pages; p++) {
      if (random_() % 4 != 0) scribble(bytes, p);  // a quarter stays zero
    }
  }
  void scribble(std::vector<std::byte>& bytes, size_t page) {
    uint64_t words[kPageSize / 8];
    if (random_() % 16 == 0) {
      std::memset(words, 0, sizeof words);
    } else {
      for (auto& w : words) w = compressible ? page : random_();
    }
    std::memcpy(bytes.data() + page * kPageSize, words, sizeof words);
  }
  std::vector<PageRun> take_dirty(size_t known) {
    const std::scoped_lock lock(mutex_);
    std::vector<PageRun> runs;
    for (auto& [id, bits] : dirty_) {
      if (id >= known) continue;
      for (size_t p = 0; p < bits.size(); p++) {
        if (!bits[p]) continue;
        bits[p] = false;
        if (!runs.empty() && runs.back().space == id && runs.back().address + runs.back().length == p * kPageSize) {
          runs.back().length += kPageSize;
        } else {
          runs.push_back({id, p * kPageSize, kPageSize});
        }
      }
    }
    return runs;
  }
  [[nodiscard]] std::string outline() const {
    std::ostringstream out;
    for (const auto& [id, bytes] : spaces_) out << id << " " << bytes.size() << "\n";
    return out.str();
  }
  void run() {
    if (dirty_per_ms_ <= 0) return;
    runner_.emplace([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        {
          const std::scoped_lock lock(mutex_);
          for (double n = dirty_per_ms_; n > 0; n--) {
            auto it = spaces_.begin();
            std::advance(it, static_cast<ptrdiff_t>(random_() % spaces_.size()));
            const size_t page = random_() % (it->second.size() / kPageSize);
            scribble(it->second, page);
            dirty_[it->first][page] = true;
          }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the rate, not a wait for something
      }
    });
  }
  void stop() { runner_.reset(); }  // asks it to stop, and joins

  Flags& flags_;
  std::mutex mutex_;
  std::mt19937_64 random_;
  double dirty_per_ms_;
  std::map<SpaceId, std::vector<std::byte>> spaces_;
  std::map<SpaceId, std::vector<bool>> dirty_;
  unsigned rounds_ = 0;
  size_t announced_ = spaces_at_start();
  std::optional<std::jthread> runner_;

  static size_t spaces_at_start() { return 2; }

 public:
  std::atomic<bool> compressible = false;
};

class Destination : public engine::DestinationEngine, public engine::PageWriter {
 public:
  explicit Destination(Flags& flags) : flags_(flags) {}
  ~Destination() override { lose_late(); }

  Result<std::vector<engine::Blocker>> admit(const std::string&) override { return blockers; }
  Result<void> prepare(const std::string& outline) override {
    std::istringstream in(outline);
    SpaceId id = 0;
    size_t bytes = 0;
    flags_.destination_copy = 1;
    while (in >> id >> bytes) spaces_[id].resize(bytes);
    return {};
  }
  engine::PageWriter& writer() override { return *this; }
  Result<void> write(std::span<const PageRun> runs, std::span<const std::byte> data) override {
    if (write_limit > 0 && --write_limit == 0) return fail(Code::kFailed, "no memory left");
    for (const auto& r : runs) {
      if (auto ok = check(r); !ok) return ok;
      take(r, data.data());
      data = data.subspan(r.length);
    }
    return {};
  }
  Result<void> zero(std::span<const PageRun> runs) override {
    for (const auto& r : runs) {
      if (auto ok = check(r); !ok) return ok;
      take(r, nullptr);
    }
    return {};
  }
  Result<std::vector<engine::Blocker>> admit_late() override { return late_blockers; }
  Result<void> expect_late(std::vector<PageRun> later, engine::LatePages& pages) override {
    const std::scoped_lock lock(mutex_);
    for (const auto& r : later) {
      for (uint64_t at = 0; at < r.length; at += kPageSize) missing_.insert({r.space, r.address + at});
    }
    pages_ = &pages;
    return {};
  }
  bool misses_pages() override {
    const std::scoped_lock lock(mutex_);
    return lost_ || !missing_.empty();
  }
  Result<void> finish_late() override {
    toucher_.reset();
    const std::scoped_lock lock(mutex_);
    if (!missing_.empty()) return fail(Code::kPeer, std::to_string(missing_.size()) + " pages never came");
    if (lost_) return fail(Code::kPeer, "its memory was lost");
    pages_ = nullptr;
    flags_.equal = state_ == digest_of_memory(spaces_) ? 1 : 0;
    return {};
  }
  void lose_late() override {
    const std::scoped_lock lock(mutex_);
    if (pages_ == nullptr || missing_.empty()) return;
    lost_ = true;
    flags_.destination_runs = flags_.destination_copy = 0;
    came_.notify_all();
  }
  Result<void> restore(const std::string& state) override {
    state_ = state;
    if (pages_ != nullptr) return touch(0);  // as a kernel call during the restore may
    flags_.equal = state == digest_of_memory(spaces_) ? 1 : 0;
    return {};
  }
  Result<void> resume() override {
    if (flags_.source_runs != 0) flags_.both_ran = 1;
    if (pages_ != nullptr) {
      const std::scoped_lock lock(mutex_);
      if (lost_) return fail(Code::kPeer, "its memory is lost");
    }
    flags_.destination_runs = 1;
    if (pages_ != nullptr) {
      toucher_.emplace([this](const std::stop_token& stop) {
        std::mt19937_64 random(1);
        while (!stop.stop_requested() && touch(random() % (spaces_[0].size() / kPageSize) * kPageSize)) {
        }
      });
    }
    return {};
  }
  Result<void> discard() override {
    toucher_.reset();
    spaces_.clear();
    flags_.destination_runs = flags_.destination_copy = 0;
    return {};
  }
  std::atomic<int> write_limit{0};  ///< the n-th write fails; 0: none does
  std::vector<engine::Blocker> blockers, late_blockers;

 private:
  /// A page that was late is taken once: the unit may have written to it since.
  void take(const PageRun& r, const std::byte* data) {
    const std::scoped_lock lock(mutex_);
    for (uint64_t at = 0; at < r.length; at += kPageSize) {
      if (pages_ != nullptr && missing_.erase({r.space, r.address + at}) == 0) continue;
      std::byte* to = spaces_[r.space].data() + r.address + at;
      data != nullptr ? (void)std::memcpy(to, data + at, kPageSize) : (void)std::memset(to, 0, kPageSize);
    }
    came_.notify_all();
  }
  Result<void> touch(uint64_t address) {
    std::unique_lock lock(mutex_);
    if (lost_ || pages_ == nullptr) return fail(Code::kPeer, "its memory is lost");
    if (!missing_.contains({0, address})) return {};
    engine::LatePages& pages = *pages_;
    lock.unlock();
    const PageRun run{0, address, kPageSize};
    pages.want(std::span(&run, 1));
    lock.lock();
    came_.wait(lock, [&] { return lost_ || !missing_.contains({0, address}); });
    if (lost_) return fail(Code::kPeer, "its memory is lost");
    return {};
  }
  Result<void> check(const PageRun& r) {
    const auto it = spaces_.find(r.space);
    if (it == spaces_.end() || r.address > it->second.size() || r.length > it->second.size() - r.address) {
      return fail(Code::kCorrupt, "a run outside of the prepared areas");
    }
    return {};
  }
  Flags& flags_;
  std::map<SpaceId, std::vector<std::byte>> spaces_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::set<std::pair<SpaceId, uint64_t>> missing_;  // guarded by mutex_
  engine::LatePages* pages_ = nullptr;
  bool lost_ = false;  // guarded by mutex_
  std::string state_;
  std::optional<std::jthread> toucher_;
};

}  // namespace godwit::migration::fake
