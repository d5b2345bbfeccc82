// WriteTracker over a child of this process, which does with its memory what each test says, step by step.
#include "pod/write_tracker.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

#include "pod/pinning.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
constexpr SpaceId kSpace = 3;
constexpr uint64_t kRoom = 2048;  // pages
using Pages = std::set<uint64_t>;  // numbers of pages in the room

Pages pages(uint64_t from, uint64_t to) {
  Pages all;
  for (uint64_t p = from; p < to; p++) all.insert(p);
  return all;
}

/// Address space that nobody uses, known before the child is made, in which the tests map what they want.
struct Room {
  std::byte* base = static_cast<std::byte*>(
      ::mmap(nullptr, kRoom* kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  ~Room() { ::munmap(base, kRoom * kPage); }
  std::byte* at(uint64_t page) const { return base + page * kPage; }

  // What the child does. A failure ends it, which the test sees.
  static void require(bool done) {
    if (!done) ::_exit(1);
  }
  void map(uint64_t first, uint64_t n, int fd = -1) const {
    const int flags = MAP_PRIVATE | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0);
    require(::mmap(at(first), n * kPage, PROT_READ | PROT_WRITE, flags, fd, 0) == at(first));
  }
  void fill(uint64_t first, uint64_t n) const { std::memset(at(first), 1, n * kPage); }
  void read(uint64_t page) const { (void)*static_cast<volatile std::byte*>(at(page)); }
  void move(uint64_t first, uint64_t n, uint64_t to) const {
    require(::mremap(at(first), n * kPage, n * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, at(to)) == at(to));
  }
  void unmap(uint64_t first, uint64_t n) const { require(::munmap(at(first), n * kPage) == 0); }
  void drop(uint64_t first, uint64_t n) const { require(::madvise(at(first), n * kPage, MADV_DONTNEED) == 0); }
};

/// A child that has done the first of its steps, with its writes tracked from there on.
class Tracked {
 public:
  Tracked(const Room& room, std::vector<std::function<void()>> steps) : room_(room), left_(steps.size()) {
    int to[2], from[2];
    EXPECT_EQ(::pipe2(to, O_CLOEXEC) | ::pipe2(from, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      char c = 0;
      for (const auto& step : steps) {
        Room::require(::read(to[0], &c, 1) == 1);
        step();
        Room::require(::write(from[1], &c, 1) == 1);
      }
      for (;;) ::pause();
    }
    ::close(to[0]);
    ::close(from[1]);
    go_ = Fd(to[1]);
    done_ = Fd(from[0]);
    next();
    start();
  }
  ~Tracked() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Tracked(const Tracked&) = delete;

  /// Can this kernel, and this user, do it?
  bool works() const { return tracker_.has_value(); }

  /// So many looks, each with the child's step after it.
  void pass(int looks) {
    for (int i = 0; i < looks; i++) {
      scan();
      next();
    }
  }
  /// The child's next step.
  void next() {
    ASSERT_GT(left_--, 0u);
    char c = 0;
    ASSERT_EQ(::write(go_.get(), &c, 1), 1);
    ASSERT_EQ(::read(done_.get(), &c, 1), 1) << "the child failed";
  }

  std::vector<MapEntry> areas() {
    auto all = *proc_.maps(pid_);
    std::erase_if(all, [&](const MapEntry& m) {
      const auto base = reinterpret_cast<uint64_t>(room_.base);
      return m.start < base || base + kRoom * kPage < m.end;
    });
    return all;
  }

  Pages scan() { return scan(areas()); }
  /// With areas as they were at an earlier look.
  Pages scan(std::span<const MapEntry> areas) {
    ScanResult found;
    EXPECT_TRUE(tracker_->scan(areas, found));
    EXPECT_TRUE(found.holes.empty());
    return numbers(found.pages);
  }

  struct Last {
    Pages pages, holes;
  };
  Last last_scan() {
    ScanResult found;
    EXPECT_TRUE(tracker_->last_scan(areas(), found));
    return {numbers(found.pages), numbers(found.holes)};
  }

  /// Another tracker: the one before is given up first.
  void start(uint64_t tracked_file_bytes = WriteTracker::kTrackedFileBytes) {
    tracker_.reset();
    std::vector<engine::Blocker> blockers;
    auto frozen = Frozen::freeze(proc_, pid_, {}, blockers);
    ASSERT_TRUE(frozen) << frozen.error().message();
    const PinnedThread here(frozen->cpu());
    if (auto made = WriteTracker::start(proc_, *frozen, frozen->processes().front(), kSpace, tracked_file_bytes))
      tracker_.emplace(std::move(*made));
    ASSERT_TRUE(frozen->thaw());
  }

 private:
  Pages numbers(std::span<const PageRun> runs) const {
    Pages all;
    for (const auto& run : runs) {
      EXPECT_EQ(run.space, kSpace);
      const uint64_t first = (run.address - reinterpret_cast<uint64_t>(room_.base)) / kPage;
      all.merge(pages(first, first + run.length / kPage));
    }
    return all;
  }

  const Room& room_;
  ProcFs proc_ = *ProcFs::open();
  pid_t pid_ = 0;
  Fd go_, done_;
  size_t left_;
  std::optional<WriteTracker> tracker_;
};

#define TRACK(tracked, ...)             \
  Tracked tracked(room, {__VA_ARGS__}); \
  if (HasFatalFailure()) return;        \
  if (!tracked.works()) GTEST_SKIP() << "no WP_ASYNC here"

TEST(WriteTracker, finds_what_was_written_between_two_scans) {
  const Room room;
  TRACK(child, [&] { room.map(8, 8), room.fill(8, 6); }, [&] { room.fill(9, 1), room.fill(15, 1); });
  EXPECT_EQ(child.scan(), pages(8, 14));
  EXPECT_EQ(child.scan(), Pages());
  child.next();
  EXPECT_EQ(child.scan(), Pages({9, 15}));
  EXPECT_EQ(child.scan(), Pages());
}

TEST(WriteTracker, sends_what_was_moved_at_its_new_place) {
  const Room room;
  TRACK(child, [&] { room.map(8, 8), room.fill(8, 8); }, [&] { room.move(8, 8, 24); });
  EXPECT_EQ(child.scan(), pages(8, 16));
  child.next();
  EXPECT_EQ(child.scan(), pages(24, 32));
}

TEST(WriteTracker, holes_are_what_was_sent_and_has_gone) {
  const Room room;
  TRACK(child, [&] { room.map(8, 8), room.fill(8, 6); }, [&] { room.drop(9, 2), room.unmap(12, 1), room.map(12, 1); });
  EXPECT_EQ(child.scan(), pages(8, 14));
  child.next();
  const auto last = child.last_scan();
  EXPECT_EQ(last.pages, Pages());
  EXPECT_EQ(last.holes, Pages({9, 10, 12}));
}

// Two blocks that were one area. One goes and is tracked where it is; back beside the other, the kernel makes them one area
// again and forgets that the other was tracked, but leaves its pages marked as unchanged.
struct ReturnedNeighbour {
  const Room room;
  std::function<void()> begin = [this] { room.map(8, 16), room.fill(8, 16); };
  std::function<void()> go = [this] { room.move(8, 8, 40); };
  std::function<void()> come_back_and_write = [this] { room.move(40, 8, 8), room.fill(17, 1); };
};

TEST(WriteTracker, a_block_that_comes_back_does_not_hide_what_its_neighbour_writes) {
  const ReturnedNeighbour blocks;
  const Room& room = blocks.room;
  TRACK(child, blocks.begin, blocks.go, blocks.come_back_and_write, [&] { room.fill(18, 1); });
  EXPECT_EQ(child.scan(), pages(8, 24));
  child.next();
  EXPECT_EQ(child.scan(), pages(40, 48));
  child.next();
  const Pages after = child.scan();
  EXPECT_TRUE(std::ranges::includes(after, pages(8, 16)));
  EXPECT_TRUE(after.contains(17));
  child.next();
  EXPECT_EQ(child.scan(), Pages({18}));
}

TEST(WriteTracker, a_block_that_came_back_hides_nothing_at_the_end_either) {
  const ReturnedNeighbour blocks;
  const Room& room = blocks.room;
  TRACK(child, blocks.begin, blocks.go, blocks.come_back_and_write);
  child.pass(2);
  const auto last = child.last_scan();
  EXPECT_TRUE(std::ranges::includes(last.pages, pages(8, 16)));
  EXPECT_TRUE(last.pages.contains(17));
  EXPECT_EQ(last.holes, Pages());
}

TEST(WriteTracker, a_forgotten_neighbour_is_sent_where_it_moves_to) {
  const ReturnedNeighbour blocks;
  const Room& room = blocks.room;
  TRACK(child, blocks.begin, blocks.go, blocks.come_back_and_write, [&] { room.move(16, 8, 60); });
  child.pass(2);
  child.next();
  EXPECT_TRUE(std::ranges::includes(child.scan(), pages(60, 68)));
}

// The tracker before (of a move that was given up) may leave such marks behind.
TEST(WriteTracker, the_first_scan_finds_all_whatever_was_tracked_before) {
  const ReturnedNeighbour blocks;
  const Room& room = blocks.room;
  TRACK(child, blocks.begin, blocks.go, blocks.come_back_and_write);
  child.pass(2);
  child.start();
  EXPECT_EQ(child.scan(), pages(8, 24));
}

// The areas that are scanned are those of a look before: a part of one may be another's by now.
TEST(WriteTracker, a_part_that_was_mapped_anew_takes_nothing_of_the_rest_with_it) {
  const Room room;
  TRACK(
      child, [&] { room.map(8, 8), room.fill(8, 8); },
      [&] { room.fill(8, 2), room.unmap(12, 4), room.map(12, 4), room.fill(13, 1); });
  const auto before = child.areas();
  EXPECT_EQ(child.scan(before), pages(8, 16));
  child.next();
  Pages found = child.scan(before);
  const auto last = child.last_scan();
  found.insert(last.pages.begin(), last.pages.end());
  EXPECT_TRUE(found.contains(8) && found.contains(9) && found.contains(13));
  EXPECT_EQ(last.holes, Pages({12, 14, 15}));
}

// mremap(2) takes only what lies in one area.
TEST(WriteTracker, what_grew_since_the_look_is_tracked_as_one_area) {
  const Room room;
  TRACK(
      child, [&] { room.map(20, 8), room.fill(20, 8); },
      [&] {
        room.map(10, 10), room.map(28, 4), room.fill(10, 22);  // below and above: one area
      },
      [&] { room.move(12, 18, 60); });
  auto before = child.areas();
  std::erase_if(before, [&](const MapEntry& m) { return m.start != reinterpret_cast<uint64_t>(room.at(20)); });
  child.next();
  EXPECT_EQ(child.scan(before), pages(20, 28));
  child.next();
  Pages all = pages(60, 78);
  all.merge(Pages({10, 11, 30, 31}));
  EXPECT_EQ(child.scan(), all);
}

TEST(Stretch, goes_from_file_to_file) {
  const auto areas = *parse_maps(
      "10000-11000 rw-p 00000000 fe:01 77 /file\n"
      "11000-12000 rw-p 00000000 00:00 0 \n"
      "20000-21000 ---p 00000000 00:00 0 [heap]\n"
      "30000-31000 rw-p 00000000 fe:01 77 /file\n"
      "31000-32000 rw-p 00000000 00:00 0 \n"
      "32000-33000 r--p 00000000 00:00 0 [vvar]\n"
      "33000-34000 rw-s 00000000 00:01 5 /dev/zero (deleted)\n");
  const auto is = [&](uint64_t address, size_t first, size_t n) {
    const auto found = stretch_around(areas, address);
    return found.size() == n && (n == 0 || found.data() == &areas[first]);
  };
  EXPECT_TRUE(is(0x10000, 0, 1));
  EXPECT_TRUE(is(0x11fff, 1, 2));
  EXPECT_TRUE(is(0x20000, 1, 2));
  EXPECT_TRUE(is(0x21000, 0, 0));
  EXPECT_TRUE(is(0x31000, 4, 1));
  EXPECT_TRUE(is(0x32000, 0, 0));
  EXPECT_TRUE(is(0x33000, 0, 0));
}

// A page of a file that was changed, sent and dropped is the file's again, and not a page of zeros.
TEST(WriteTracker, a_dropped_page_of_a_file_is_sent_as_the_file_has_it) {
  const Room room;
  constexpr uint64_t kMany = WriteTracker::kTrackedFileBytes / kPage;
  char name[] = "/tmp/godwit-tracker-XXXXXX";
  const Fd file(::mkstemp(name));
  ::unlink(name);
  ASSERT_EQ(::ftruncate(file.get(), kMany * kPage), 0);
  TRACK(
      child, [&] { room.map(8, kMany, file.get()), room.fill(8, kMany); },
      [&] { room.drop(9, 1), room.drop(11, 1), room.read(11); }, [&] { room.fill(20, 1); });
  EXPECT_EQ(child.scan(), pages(8, 8 + kMany));
  child.next();
  child.next();
  const auto last = child.last_scan();
  EXPECT_EQ(last.pages, Pages({9, 11, 20}));
  EXPECT_EQ(last.holes, Pages());
}

// A few changed pages of a file are left for the end, unless there are many such processes.
TEST(WriteTracker, few_pages_of_a_file_are_tracked_if_so_few_are_wanted) {
  const Room room;
  char name[] = "/tmp/godwit-tracker-XXXXXX";
  const Fd file(::mkstemp(name));
  ::unlink(name);
  ASSERT_EQ(::ftruncate(file.get(), 8 * kPage), 0);
  TRACK(child, [&] { room.map(8, 8, file.get()), room.fill(8, 3); }, [&] { room.fill(9, 1); });
  EXPECT_EQ(child.scan(), Pages());
  EXPECT_EQ(child.last_scan().pages, pages(8, 11));
  child.start(2 * kPage);
  EXPECT_EQ(child.scan(), pages(8, 11));
  child.next();
  EXPECT_EQ(child.last_scan().pages, Pages({9}));
}

}  // namespace
}  // namespace godwit::pod
