// Reading the memory of processes that share it since a fork leaves it shared.
#include "pod/memory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

namespace godwit::pod {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kSize = 1024 * kPage;

/// Two processes with one memory between them, of which the second has written to every fourth page.
class SharedSinceFork : public ::testing::Test {
 protected:
  void SetUp() override {
    void* made = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(made, MAP_FAILED);
    ::madvise(made, kSize, MADV_NOHUGEPAGE);
    memory_ = {static_cast<std::byte*>(made), kSize};
    for (size_t i = 0; i < kSize; i++) memory_[i] = static_cast<std::byte>(i / kPage + i);
    int ready[2];
    ASSERT_EQ(::pipe(ready), 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (size_t at = 0; at < kSize; at += 4 * kPage) memory_[at] = std::byte{77};
      (void)!::write(ready[1], "x", 1);
      for (;;) ::pause();
    }
    char c = 0;
    ASSERT_EQ(::read(ready[0], &c, 1), 1);
    ::close(ready[0]);
    ::close(ready[1]);
    expected_.assign(memory_.begin(), memory_.end());
    for (size_t at = 0; at < kSize; at += 4 * kPage) expected_[at] = std::byte{77};
  }
  void TearDown() override {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    ::munmap(memory_.data(), kSize);
  }
  /// Of the child's memory, what nobody else has, in bytes.
  uint64_t unshared() const {
    const auto text = *proc_.read(child_, "smaps_rollup");
    const size_t at = text.find("Private_Dirty:");
    uint64_t kb = 0;
    const size_t digits = text.find_first_of("0123456789", at);
    std::from_chars(text.data() + digits, text.data() + text.size(), kb);
    return kb * 1024;
  }
  PageRun run(size_t page, size_t pages) const {
    return {2, reinterpret_cast<uint64_t>(memory_.data()) + page * kPage, pages * kPage};
  }

  const ProcFs proc_ = *ProcFs::open();
  std::span<std::byte> memory_;
  std::vector<std::byte> expected_;
  pid_t child_ = 0;
};

TEST_F(SharedSinceFork, is_read_and_stays_shared) {
  MemoryReader reader(proc_);
  reader.add_process(1, ::getpid());
  reader.add_process(2, child_);
  const uint64_t before = unshared();
  std::vector<std::byte> got(kSize);
  ASSERT_TRUE(reader.read(std::array{run(0, 700), run(700, 1), run(701, 323)}, got));
  EXPECT_TRUE(got == expected_);
  EXPECT_LT(unshared(), before + kSize / 4);
}

TEST_F(SharedSinceFork, what_is_not_there_is_zero) {
  MemoryReader reader(proc_);
  reader.add_process(1, ::getpid());
  reader.add_process(2, child_);
  std::vector<std::byte> got(3 * kPage, std::byte{1});
  ASSERT_TRUE(reader.read(std::array{PageRun{2, kPage, kPage}, run(0, 2)}, got));  // page 1 is nobody's
  EXPECT_EQ(std::count(got.begin(), got.begin() + kPage, std::byte{0}), static_cast<ptrdiff_t>(kPage));
  EXPECT_EQ(std::memcmp(got.data() + kPage, expected_.data(), 2 * kPage), 0);
}

}  // namespace
}  // namespace godwit::pod
