// LateMemory while the threads and children of a unit do everything at once to memory that is arriving.
//
// The unit is a process of its own: fork(2) holds malloc's locks while it waits for the pager, so a pager that is a thread of the
// same process would wait for itself. What follows arrives in a random order, a bit of it whenever the unit has done something
// more, so on a slow machine as much happens in between as on a fast one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <deque>
#include <random>

#include "base/sys.h"
#include "pod/restore/late_memory.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
constexpr SpaceId kSpace = 3;
constexpr uint64_t kBlock = 16;  // pages
constexpr unsigned kThreads = 4, kEach = 15;
constexpr uint64_t kPages = kThreads * kEach * kBlock;

uint64_t content_of(uint64_t address) { return address * 0x9E3779B97F4A7C15u + 1; }

// What the unit and the test have in common.
struct Shared {
  std::atomic<bool> begin, stop, failed;
  bool forks;
  std::atomic<uint64_t> acts;
  char why[256];
};

// The unit's side.
struct Block {
  std::byte* at = nullptr;
  uint64_t wanted[kBlock] = {};  // what its pages are to hold
};

class Player {
 public:
  Player(Shared& shared, uint64_t seed, unsigned number, std::byte* base) : shared_(shared), random_(seed + number) {
    for (unsigned i = 0; i < kEach; i++) {
      blocks_[i].at = base + (number * kEach + i) * kBlock * kPage;
      for (uint64_t p = 0; p < kBlock; p++)
        blocks_[i].wanted[p] = content_of(reinterpret_cast<uint64_t>(blocks_[i].at + p * kPage));
    }
  }

  // Until the test says stop, and all that it has is right.
  bool play() {
    for (int n = 0; !shared_.stop && !shared_.failed; n++) {
      if (!act()) return false;
      shared_.acts++;
      if (shared_.forks && n % 25 == 0 && !fork_child(2)) return false;
    }
    return check_all();
  }

 private:
  bool wrong(const char* format, ...) __attribute__((format(printf, 2, 3))) {
    if (shared_.failed.exchange(true)) return false;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(shared_.why, sizeof shared_.why, format, arguments);
    va_end(arguments);
    return false;
  }

  bool check(const std::byte* at, uint64_t wanted, const char* what) {
    uint64_t first = 0, last = 0;
    std::memcpy(&first, at, sizeof first);
    std::memcpy(&last, at + kPage - sizeof last, sizeof last);
    if (first == wanted && last == wanted) return true;
    return wrong("process %d of %d: %s at %p holds %lx and %lx, not %lx", ::getpid(), ::getppid(), what,
                 static_cast<const void*>(at), first, last, wanted);
  }
  bool check(const Block& b, uint64_t p) { return check(b.at + p * kPage, b.wanted[p], "a page"); }
  bool check_all() {
    return std::ranges::all_of(blocks_, [&](const Block& b) {
      for (uint64_t p = 0; p < kBlock; p++) {
        if (!check(b, p)) return false;
      }
      return true;
    });
  }

  static std::byte* map(uint64_t pages) {
    return static_cast<std::byte*>(
        ::mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
  void write(Block& b, uint64_t p) {
    const uint64_t value = random_() | 1;
    b.wanted[p] = value;
    std::memcpy(b.at + p * kPage, &value, sizeof value);
    std::memcpy(b.at + (p + 1) * kPage - sizeof value, &value, sizeof value);
  }

  bool grow_and_cut(Block& b, uint64_t first) {
    void* const moved = ::mremap(b.at, kBlock * kPage, 2 * kBlock * kPage, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) return wrong("mremap: %m");
    b.at = static_cast<std::byte*>(moved);
    if (!check(b.at + (kBlock + first) * kPage, 0, "what has grown")) return false;
    return ::munmap(b.at + kBlock * kPage, kBlock * kPage) == 0 || wrong("munmap: %m");
  }
  bool move_over(Block& b, bool leave) {
    std::byte* const to = map(kBlock);
    std::byte* const from = b.at;
    const int how = MREMAP_MAYMOVE | MREMAP_FIXED | (leave ? MREMAP_DONTUNMAP : 0);
    if (::mremap(from, kBlock * kPage, kBlock * kPage, how, to) != to) return wrong("mremap over another: %m");
    b.at = to;
    if (!leave) return true;
    if (!check(from + random_() % kBlock * kPage, 0, "what was left")) return false;
    return ::munmap(from, kBlock * kPage) == 0 || wrong("munmap: %m");
  }
  bool replace(Block& b, uint64_t first, uint64_t n) {
    if (::munmap(b.at + first * kPage, n * kPage) != 0) return wrong("munmap: %m");
    void* const again = ::mmap(b.at + first * kPage, n * kPage, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (again != MAP_FAILED) {  // another thread may have been faster
      if (!check(static_cast<std::byte*>(again), 0, "new memory")) return false;
      if (::munmap(again, n * kPage) != 0) return wrong("munmap: %m");
    }
    if (first > 0 && ::munmap(b.at, first * kPage) != 0) return wrong("munmap: %m");
    const uint64_t rest = kBlock - first - n;
    if (rest > 0 && ::munmap(b.at + (first + n) * kPage, rest * kPage) != 0) return wrong("munmap: %m");
    b.at = map(kBlock);
    for (uint64_t p = 0; p < kBlock; p++) write(b, p);
    return true;
  }

  bool act() {
    Block& b = blocks_[random_() % kEach];
    const uint64_t first = random_() % kBlock, n = 1 + random_() % (kBlock - first);
    switch (random_() % 8) {
      case 0:
      case 1: return grow_and_cut(b, first) && check(b, first);
      case 2: return move_over(b, false) && check(b, first);
      case 3: return move_over(b, true);
      case 4:
        if (::madvise(b.at + first * kPage, n * kPage, MADV_DONTNEED) != 0) return wrong("madvise: %m");
        std::fill_n(b.wanted + first, n, 0);
        return check(b, first);
      case 5: return random_() % 4 != 0 || replace(b, first, n);
      case 6: write(b, first); [[fallthrough]];
      default: return check(b, first);
    }
  }

  // A child has what its parent had, and changes nobody's but its own.
  bool fork_child(int depth) {
    const pid_t child = ::fork();
    if (child < 0) return wrong("fork: %m");
    if (child == 0) {
      bool good = true;
      for (int i = 0; i < 10 && good; i++) good = act();
      if (depth > 1 && good) good = fork_child(depth - 1);
      ::_exit(good && check_all() ? 0 : 1);
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || status != 0) return wrong("a child ended with %x", status);
    return true;
  }

  Shared& shared_;
  std::mt19937_64 random_;
  Block blocks_[kEach];
};

[[noreturn]] void run_unit(Shared& shared, uint64_t seed, std::byte* base, int uffd_to) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const Fd uffd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)));
  const int fd = uffd.get();
  if (::write(uffd_to, &fd, sizeof fd) != sizeof fd) ::_exit(3);
  while (!shared.begin) ::sched_yield();
  struct Thread {
    Player player;
    pthread_t id = 0;
  };
  std::deque<Thread> threads;
  for (unsigned t = 0; t < kThreads; t++) {
    threads.push_back({Player(shared, seed, t, base)});
    const auto run = [](void* player) -> void* {
      static_cast<Player*>(player)->play();
      return nullptr;
    };
    if (::pthread_create(&threads.back().id, nullptr, run, &threads.back().player) != 0) ::_exit(4);
  }
  for (auto& t : threads) ::pthread_join(t.id, nullptr);
  ::_exit(shared.failed ? 1 : 0);
}

// The source: gives what is asked for, from a thread of its own as the network would.
class Giver : public engine::LatePages {
 public:
  explicit Giver(std::byte* base)
      : late_({{kSpace, reinterpret_cast<uint64_t>(base), kPages * kPage}}, *this), thread_([this] { give(); }) {}
  ~Giver() override {
    {
      const std::scoped_lock lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void want(std::span<const PageRun> runs) override {
    const std::scoped_lock lock(mutex_);
    asked_.insert(asked_.end(), runs.begin(), runs.end());
    changed_.notify_all();
  }
  void push(const PageRun& run) {
    std::vector<std::byte> data(run.length);
    for (uint64_t i = 0; i < run.length; i += kPage) {
      const uint64_t value = content_of(run.address + i);
      std::memcpy(data.data() + i, &value, sizeof value);
      std::memcpy(data.data() + i + kPage - sizeof value, &value, sizeof value);
    }
    const auto written = late_.write(run, data.data());
    EXPECT_TRUE(written) << written.error().text;
  }
  LateMemory& late() { return late_; }

 private:
  void give() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return over_ || !asked_.empty(); });
      if (over_) return;
      const PageRun run = asked_.front();
      asked_.pop_front();
      lock.unlock();
      push(run);
      lock.lock();
    }
  }
  LateMemory late_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<PageRun> asked_;
  bool over_ = false;
  std::thread thread_;
};

void push_all(Giver& giver, Shared& shared, pid_t unit, std::byte* base, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<PageRun> runs;
  for (uint64_t p = 0; p < kPages; p += 4)
    runs.push_back({kSpace, reinterpret_cast<uint64_t>(base) + p * kPage, 4 * kPage});
  std::ranges::shuffle(runs, random);
  const auto over = [&] {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(unit), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
  };
  for (const auto& run : runs) {
    const uint64_t until = shared.acts + random() % 20;
    while (shared.acts < until && !shared.failed && !over()) ::sched_yield();
    giver.push(run);
  }
}

void stress(bool forks) {
  const char* const given = std::getenv("GODWIT_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  SCOPED_TRACE("GODWIT_SEED=" + std::to_string(seed));
  auto* const base = static_cast<std::byte*>(
      ::mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto& shared =
      *new (::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Shared{};
  int theirs[2];
  ASSERT_EQ(::pipe(theirs), 0);
  shared.forks = forks;
  const pid_t unit = ::fork();
  if (unit == 0) run_unit(shared, seed, base, theirs[1]);
  int uffd = -1;
  ASSERT_EQ(::read(theirs[0], &uffd, sizeof uffd), static_cast<ssize_t>(sizeof uffd));
  ::close(theirs[0]);
  ::close(theirs[1]);
  {
    const auto pidfd = sys::pidfd_open(unit);
    ASSERT_TRUE(pidfd);
    auto ours = sys::pidfd_getfd(*pidfd, uffd);
    ASSERT_TRUE(ours);
    Giver giver(base);
    ASSERT_TRUE(giver.late().start(unit));
    ASSERT_TRUE(giver.late().guarded());
    const std::pair area{reinterpret_cast<uint64_t>(base), reinterpret_cast<uint64_t>(base) + kPages * kPage};
    ASSERT_TRUE(giver.late().adopt(kSpace, std::move(*ours), std::span(&area, 1), "the unit"));
    shared.begin = true;
    push_all(giver, shared, unit, base, seed);
    EXPECT_FALSE(giver.late().misses());
    shared.stop = true;
    int status = 0;
    EXPECT_EQ(::waitpid(unit, &status, 0), unit);
    EXPECT_EQ(status, 0) << shared.why;
    const auto finished = giver.late().finish();
    EXPECT_TRUE(finished) << finished.error().text;
  }
  ::munmap(base, kPages * kPage);
  ::munmap(&shared, sizeof(Shared));
}

TEST(LateMemoryStress, stays_right_while_threads_do_everything_at_once) {
  if (!LateMemory::probe()) GTEST_SKIP() << "needs a full userfaultfd (root)";
  stress(false);
}

TEST(LateMemoryStress, stays_right_while_children_are_forked_meanwhile) {
  if (!LateMemory::probe()) GTEST_SKIP() << "needs a full userfaultfd (root)";
  stress(true);
}

}  // namespace
}  // namespace godwit::pod
