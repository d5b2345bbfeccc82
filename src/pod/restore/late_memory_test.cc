// LateMemory over memory of this process itself: its threads and children play the unit.
#include "pod/restore/late_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
constexpr SpaceId kSpace = 3;
constexpr uint64_t kPages = 64;

uint64_t content_of(uint64_t address) { return address * 0x9E3779B97F4A7C15u + 1; }
uint64_t value_at(const void* at) {
  uint64_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// The source: gives what is asked for, from a thread of its own as the network would.
struct World : engine::LatePages {
  std::byte* base = nullptr;
  uint64_t pages = kPages;
  pid_t init = 0;
  std::unique_ptr<LateMemory> late;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<PageRun> asked;
  std::atomic<int> count = 0;
  bool over = false;
  std::thread giver;

  // Pages from `first` on follow; those before were never used.
  bool begin(uint64_t first) {
    if (!LateMemory::probe()) return false;
    base = static_cast<std::byte*>(
        ::mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    init = ::fork();
    if (init == 0) {
      for (;;) ::pause();
    }
    late = std::make_unique<LateMemory>(std::vector<PageRun>{{kSpace, at(first), (pages - first) * kPage}}, *this);
    EXPECT_TRUE(late->start(init));
    EXPECT_TRUE(late->guarded());
    const std::pair<uint64_t, uint64_t> area{at(0), at(pages)};
    Fd uffd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
    EXPECT_TRUE(late->adopt(kSpace, std::move(uffd), std::span(&area, 1), "this test"));
    giver = std::thread([this] { give(); });
    return true;
  }
  ~World() override {
    {
      const std::scoped_lock lock(mutex);
      over = true;
    }
    changed.notify_all();
    if (giver.joinable()) giver.join();
    late.reset();
    if (init > 0) {
      ::kill(init, SIGKILL);
      ::waitpid(init, nullptr, 0);
    }
  }
  [[nodiscard]] uint64_t at(uint64_t page) const { return reinterpret_cast<uint64_t>(base) + page * kPage; }
  [[nodiscard]] std::byte* page(uint64_t n) const { return base + n * kPage; }
  void want(std::span<const PageRun> runs) override {
    const std::scoped_lock lock(mutex);
    count += static_cast<int>(runs.size());
    asked.insert(asked.end(), runs.begin(), runs.end());
    changed.notify_all();
  }
  void give() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return over || !asked.empty(); });
      if (over) return;
      const PageRun run = asked.front();
      asked.pop_front();
      lock.unlock();
      push(run);
      lock.lock();
    }
  }
  void push(const PageRun& run) const {
    std::vector<std::byte> data(run.length);
    for (uint64_t i = 0; i < run.length; i += kPage) {
      const uint64_t value = content_of(run.address + i);
      std::memcpy(data.data() + i, &value, sizeof value);
    }
    EXPECT_TRUE(late->write(run, data.data()));
  }
};

#define BEGIN(world, first) \
  World world;              \
  if (!world.begin(first)) GTEST_SKIP() << "needs a full userfaultfd (root)"

TEST(LateMemory, a_missing_page_is_waited_for_and_one_that_was_never_used_is_zero) {
  BEGIN(w, 8);
  EXPECT_EQ(value_at(w.page(20)), content_of(w.at(20)));
  EXPECT_EQ(value_at(w.page(3)), 0u);
  EXPECT_EQ(w.count, 1);
  EXPECT_TRUE(w.late->misses());
  w.push({kSpace, w.at(8), (kPages - 8) * kPage});
  EXPECT_FALSE(w.late->misses());
  EXPECT_TRUE(w.late->finish());
  EXPECT_EQ(value_at(w.page(40)), content_of(w.at(40)));
  EXPECT_EQ(w.count, 1);
}

TEST(LateMemory, what_the_program_wrote_is_not_overwritten_by_what_comes_later) {
  BEGIN(w, 0);
  const uint64_t mine = 77;
  std::memcpy(w.page(5), &mine, sizeof mine);
  w.push({kSpace, w.at(0), kPages * kPage});
  EXPECT_EQ(value_at(w.page(5)), 77u);
  EXPECT_EQ(value_at(w.page(6)), content_of(w.at(6)));
  EXPECT_TRUE(w.late->finish());
}

TEST(LateMemory, follows_what_is_moved_dropped_and_unmapped) {
  BEGIN(w, 0);
  void* const to = ::mmap(nullptr, 4 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_EQ(::mremap(w.page(10), 4 * kPage, 4 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
  EXPECT_EQ(value_at(static_cast<std::byte*>(to) + kPage), content_of(w.at(11)));
  ASSERT_EQ(::madvise(w.page(20), 4 * kPage, MADV_DONTNEED), 0);
  EXPECT_EQ(value_at(w.page(21)), 0u);
  ASSERT_EQ(::munmap(w.page(30), 4 * kPage), 0);
  w.push({kSpace, w.at(0), kPages * kPage});
  EXPECT_EQ(value_at(static_cast<std::byte*>(to) + 2 * kPage), content_of(w.at(12)));
  EXPECT_EQ(value_at(w.page(22)), 0u);
  EXPECT_EQ(value_at(w.page(50)), content_of(w.at(50)));
  EXPECT_FALSE(w.late->misses());
  EXPECT_TRUE(w.late->finish());
}

TEST(LateMemory, a_child_misses_what_its_parent_missed) {
  BEGIN(w, 0);
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  // Not fork(3): it holds malloc's locks while it waits for the pager, which is a thread of the same process here.
  const auto child = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (child == 0) {
    char byte = 0;
    bool good = value_at(w.page(9)) == content_of(w.at(9));
    good = ::read(ready[0], &byte, 1) == 1 && good;  // the parent's pages have all come meanwhile
    for (uint64_t p = 0; p < kPages; p++) good = good && value_at(w.page(p)) == content_of(w.at(p));
    ::_exit(good ? 0 : 1);
  }
  w.push({kSpace, w.at(0), kPages * kPage});
  EXPECT_EQ(::write(ready[1], "x", 1), 1);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(w.late->misses());
  EXPECT_TRUE(w.late->finish());
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(LateMemory, a_loss_ends_the_unit_and_names_what_never_came) {
  BEGIN(w, 0);
  w.push({kSpace, w.at(0), 60 * kPage});
  w.late->lose();
  EXPECT_TRUE(w.late->misses());
  const auto finished = w.late->finish();
  ASSERT_FALSE(finished);
  EXPECT_NE(finished.error().text.find("4 pages"), std::string::npos) << finished.error().text;
  int status = 0;
  EXPECT_EQ(::waitpid(w.init, &status, WNOHANG), w.init);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  w.init = 0;
}

TEST(LateMemory, a_loss_after_the_last_page_means_nothing) {
  BEGIN(w, 0);
  w.push({kSpace, w.at(0), kPages * kPage});
  w.late->lose();
  EXPECT_FALSE(w.late->misses());
  EXPECT_TRUE(w.late->finish());
  EXPECT_EQ(::waitpid(w.init, nullptr, WNOHANG), 0);
}

}  // namespace
}  // namespace godwit::pod
