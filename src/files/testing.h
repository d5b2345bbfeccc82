// For the tests of this module: a directory that goes away, files made in a line, random bytes from a printed seed.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "base/base.h"

namespace godwit::files::testing {

/// The value of a Result that must be one.
template <typename T>
T good(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message();
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

class TemporaryDir {
 public:
  explicit TemporaryDir(const std::string& base = "/tmp") {
    std::string pattern = base + "/godwit-files-test.XXXXXX";
    path_ = ::mkdtemp(pattern.data()) == nullptr ? "" : pattern;
    EXPECT_FALSE(path_.empty());
  }
  ~TemporaryDir() {
    if (!path_.empty()) (void)sys::remove_tree(path_);
  }
  TemporaryDir(const TemporaryDir&) = delete;
  TemporaryDir& operator=(const TemporaryDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] Fd fd() const { return good(sys::open(path_, O_RDONLY | O_DIRECTORY)); }

 private:
  std::string path_;
};

inline void write_at(const std::string& path, std::string_view data, uint64_t offset = 0) {
  const Fd file = good(sys::open(path, O_WRONLY | O_CREAT, 0644));
  good(io::pwrite_full(file.get(), std::as_bytes(std::span(data)), offset));
}
inline std::string slurp(const std::string& path) { return good(io::read_file(path, 256u << 20)); }

/// Makes a file look as if it had been written long ago is impossible (ctime); so tests of settled stamps wait for the
/// file system's clock to pass the slack instead.
inline void wait_until_settled(const struct stat& st) {
  const int64_t ctime = st.st_ctim.tv_sec * 1'000'000'000 + st.st_ctim.tv_nsec;
  while (clock_now(CLOCK_REALTIME).count() <= ctime + 101'000'000) ::usleep(1000);
}
inline void wait_until_settled(const std::string& path) { wait_until_settled(good(sys::lstat(path))); }
inline void wait_until_settled(const Fd& file) { wait_until_settled(good(sys::stat(file))); }

/// Random data; the seed is printed, and GODWIT_SEED repeats a run.
class Random {
 public:
  Random() {
    const char* given = std::getenv("GODWIT_SEED");
    seed_ = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    ::testing::Test::RecordProperty("seed", std::to_string(seed_));
    std::printf("seed %llu (repeat with GODWIT_SEED)\n", static_cast<unsigned long long>(seed_));
    engine_.seed(seed_);
  }
  uint64_t below(uint64_t n) { return engine_() % n; }
  std::string bytes(size_t n) {
    std::string s(n, '\0');
    for (size_t i = 0; i < n; i += 8) {
      const uint64_t word = engine_();
      std::memcpy(s.data() + i, &word, std::min<size_t>(8, n - i));
    }
    return s;
  }

 private:
  uint64_t seed_ = 0;
  std::mt19937_64 engine_;
};

}  // namespace godwit::files::testing
