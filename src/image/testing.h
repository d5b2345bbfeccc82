// Memory made of plain buffers, and temporary directories: for this module's tests and benchmarks.
#pragma once

#include <unistd.h>
#include <cstring>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <random>

#include "base/sys.h"
#include "engine/engine.h"
#include "image/limits.h"

namespace godwit::image::testing {

using engine::PageRun;

/// A directory that goes when the test ends.
class TemporaryDir {
 public:
  TemporaryDir() {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/godwit-image-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) std::abort();
  }
  ~TemporaryDir() { (void)sys::remove_tree(path_); }
  TemporaryDir(const TemporaryDir&) = delete;
  TemporaryDir& operator=(const TemporaryDir&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Pages by (space, address): both ends of a transfer in one. A page that isn't there reads as zeros.
class FakeMemory : public engine::PageReader, public engine::PageWriter {
 public:
  using Page = std::array<std::byte, kPageBytes>;

  void fill(std::mt19937_64& random, const PageRun& run) {
    for (uint64_t at = 0; at < run.length; at += kPageBytes) {
      Page& page = pages_[{run.space, run.address + at}];
      for (size_t i = 0; i < page.size(); i += 8) {
        const uint64_t word = random() & 0x3f3f3f3f3f3f3f3f;  // compressible by a quarter
        std::memcpy(page.data() + i, &word, 8);
      }
    }
  }
  void clear(const PageRun& run) {
    for (uint64_t at = 0; at < run.length; at += kPageBytes) pages_.erase({run.space, run.address + at});
  }
  /// One run a page.
  [[nodiscard]] std::vector<PageRun> runs() const {
    std::vector<PageRun> out;
    for (const auto& [where, page] : pages_) out.push_back({where.first, where.second, kPageBytes});
    return out;
  }
  bool operator==(const FakeMemory& other) const { return pages_ == other.pages_; }

  Result<void> read(std::span<const PageRun> runs, std::span<std::byte> out) override {
    for (const PageRun& run : runs)
      for (uint64_t at = 0; at < run.length; at += kPageBytes, out = out.subspan(kPageBytes)) {
        const auto it = pages_.find({run.space, run.address + at});
        if (it == pages_.end())
          std::memset(out.data(), 0, kPageBytes);
        else
          std::memcpy(out.data(), it->second.data(), kPageBytes);
      }
    return {};
  }
  Result<void> write(std::span<const PageRun> runs, std::span<const std::byte> data) override {
    const std::scoped_lock lock(*mutex_);
    for (const PageRun& run : runs)
      for (uint64_t at = 0; at < run.length; at += kPageBytes, data = data.subspan(kPageBytes))
        std::memcpy(pages_[{run.space, run.address + at}].data(), data.data(), kPageBytes);
    writes_++;
    return {};
  }
  Result<void> zero(std::span<const PageRun> runs) override {
    const std::scoped_lock lock(*mutex_);
    for (const PageRun& run : runs) clear(run);
    return {};
  }
  [[nodiscard]] size_t writes() const { return writes_; }

 private:
  std::map<std::pair<engine::SpaceId, uint64_t>, Page> pages_;
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();  // so that it can be moved
  size_t writes_ = 0;
};

}  // namespace godwit::image::testing
