#include "image/image.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "image/testing.h"

namespace godwit::image {
namespace {

using testing::FakeMemory;
using testing::PageRun;
using testing::TemporaryDir;

#define ASSERT_OK(expression)                            \
  do {                                                   \
    const auto& ok = (expression);                       \
    ASSERT_TRUE(ok.has_value()) << ok.error().message(); \
  } while (false)

class ImageForms : public ::testing::TestWithParam<std::tuple<const char*, int, DigestKind>> {
 protected:
  Result<std::unique_ptr<ImageWriter>> writer() {
    const auto [form, level, digest] = GetParam();
    const WriteOptions options{.zstd_level = level, .digest = digest};
    return form == std::string("file") ? ImageWriter::to_file(dir_ / "image", options)
                                       : ImageWriter::to_directory(dir_ / "image", options);
  }
  TemporaryDir dir_;
  const uint64_t seed_ = std::random_device{}();
  std::mt19937_64 random_{seed_};
};

TEST_P(ImageForms, memory_messages_and_chunks_come_back_as_they_were) {
  SCOPED_TRACE(seed_);
  FakeMemory memory;
  memory.fill(random_, {0, 0x400000, 700 * kPageBytes});
  memory.fill(random_, {1, 0x7fff00000000, 3 * kPageBytes});
  memory.clear({0, 0x400000 + 5 * kPageBytes, kPageBytes});

  auto w = writer();
  ASSERT_OK(w);
  const PageRun runs[] = {{0, 0x400000, 700 * kPageBytes}, {1, 0x7fff00000000, 4 * kPageBytes}};
  ASSERT_OK((*w)->pages(runs, memory));
  const std::string content(5000, 'c');
  const auto id = (*w)->put_chunk(std::as_bytes(std::span(content)));
  ASSERT_OK(id);
  Manifest m = new_manifest();
  m.unit = "u-1";
  m.state = "state";
  m.sections = {{"files.trees", "tree", {*id}, true}};
  const auto written = (*w)->finish(m);
  ASSERT_OK(written);
  EXPECT_EQ(written->bytes_raw, 702 * kPageBytes);
  EXPECT_EQ(written->zero_bytes, 2 * kPageBytes);

  const auto image = ImageReader::open(dir_ / "image");
  ASSERT_OK(image);
  EXPECT_EQ((*image)->manifest(), written->manifest);
  EXPECT_EQ((*image)->manifest().state, "state");
  ASSERT_OK((*image)->verify());
  FakeMemory back;
  ASSERT_OK((*image)->load_pages(back));
  EXPECT_TRUE(back == memory);
  const auto chunk = (*image)->read_chunk(*id);
  ASSERT_OK(chunk);
  EXPECT_EQ(*chunk, content);
}

TEST_P(ImageForms, the_newest_mention_of_a_page_counts) {
  SCOPED_TRACE(seed_);
  FakeMemory memory;
  const PageRun all{2, 0x10000, 64 * kPageBytes};
  auto w = writer();
  ASSERT_OK(w);
  memory.fill(random_, all);
  ASSERT_OK((*w)->pages(std::span(&all, 1), memory));
  for (int round = 0; round < 20; round++) {
    const uint64_t first = random_() % 60, count = 1 + random_() % 4;
    const PageRun part{2, 0x10000 + first * kPageBytes, count * kPageBytes};
    if (round % 5 == 4) {
      memory.clear(part);
      ASSERT_OK((*w)->holes(std::span(&part, 1)));
    } else {
      memory.fill(random_, part);
      ASSERT_OK((*w)->pages(std::span(&part, 1), memory));
    }
  }
  ASSERT_OK((*w)->finish(new_manifest()));
  const auto image = ImageReader::open(dir_ / "image");
  ASSERT_OK(image);
  ASSERT_OK((*image)->verify());
  FakeMemory back;
  ASSERT_OK((*image)->load_pages(back));
  EXPECT_TRUE(back == memory);
}

// A program that unmaps memory, or ends, after it was written to the image.
TEST_P(ImageForms, what_was_unmapped_later_is_not_in_it) {
  SCOPED_TRACE(seed_);
  FakeMemory memory, expected;
  const std::vector<PageRun> all = {{2, 0x10000, 64 * kPageBytes}, {3, 0x10000, 8 * kPageBytes}};
  const std::vector<PageRun> wanted = {{2, 0x18000, 5 * kPageBytes}, {2, 0x11000, 3 * kPageBytes}};
  auto w = writer();
  ASSERT_OK(w);
  for (const auto& run : all) memory.fill(random_, run);
  ASSERT_OK((*w)->pages(all, memory));
  const PageRun hole{2, 0x30000, 2 * kPageBytes};
  ASSERT_OK((*w)->holes(std::span(&hole, 1)));
  (*w)->only(wanted);
  ASSERT_OK((*w)->finish(new_manifest()));
  for (const auto& run : wanted) {
    std::vector<std::byte> bytes(run.length);
    ASSERT_OK(memory.read(std::span(&run, 1), bytes));
    ASSERT_OK(expected.write(std::span(&run, 1), bytes));
  }
  const auto image = ImageReader::open(dir_ / "image");
  ASSERT_OK(image);
  ASSERT_OK((*image)->verify());
  FakeMemory back;
  ASSERT_OK((*image)->load_pages(back));
  EXPECT_TRUE(back == expected);
  EXPECT_TRUE((*image)->manifest().memory.zeros.empty());
}

INSTANTIATE_TEST_SUITE_P(All, ImageForms,
                         ::testing::Combine(::testing::Values("directory", "file"), ::testing::Values(0, 1),
                                            ::testing::Values(DigestKind::kXxh3, DigestKind::kSha256)));

TEST(ImageStream, goes_through_a_pipe) {
  auto [r, w] = *sys::pipe();
  std::mt19937_64 random(1);
  FakeMemory memory;
  const PageRun all{0, 0x1000, 300 * kPageBytes};
  memory.fill(random, all);
  std::jthread source([&memory, &all, out = std::move(w)]() mutable {
    auto writer = ImageWriter::to_stream(std::move(out), {.zstd_level = 1});
    ASSERT_OK(writer);
    ASSERT_OK((*writer)->pages(std::span(&all, 1), memory));
    ASSERT_OK((*writer)->finish(new_manifest()));
  });
  const auto image = ImageReader::open_stream(std::move(r));
  ASSERT_OK(image);
  FakeMemory back;
  ASSERT_OK((*image)->load_pages(back));
  source.join();
  EXPECT_TRUE(back == memory);
}

TEST(ImageWriter, a_full_disk_is_an_error_and_leaves_nothing) {
  for (const bool file : {false, true}) {
    const TemporaryDir dir;
    const pid_t child = ::fork();
    if (child == 0) {
      // The kernel's limit of a file's size fails in the middle of a write, as a full disk does.
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{20000, 20000};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      bool right = false;
      if (auto writer = file ? ImageWriter::to_file(dir / "image", {}) : ImageWriter::to_directory(dir / "image", {})) {
        std::mt19937_64 random(1);
        FakeMemory memory;
        const PageRun all{0, 0x1000, 300 * kPageBytes};
        memory.fill(random, all);
        const auto done = (*writer)->pages(std::span(&all, 1), memory);
        right = !done && done.error().code == Code::kSystem;
      }
      ::_exit(right ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(sys::list_dir(dir.path())->empty());
  }
}

TEST(ImageWriter, gives_back_room_that_it_did_not_need) {
  const TemporaryDir dir;
  auto writer = ImageWriter::to_directory(dir / "a", {});
  ASSERT_OK(writer);
  (*writer)->reserve(64u << 20);
  std::mt19937_64 random(1);
  FakeMemory memory;
  const PageRun all{0, 0x1000, 300 * kPageBytes};
  memory.fill(random, all);
  ASSERT_OK((*writer)->pages(std::span(&all, 1), memory));
  ASSERT_OK((*writer)->finish(new_manifest()));
  int64_t bytes = 0;
  const auto names = sys::list_dir(dir / "a");
  for (const auto& name : *names) bytes += sys::stat(dir / "a" + "/" + name)->st_blocks * 512;
  EXPECT_LT(bytes, 4 << 20);
  ASSERT_OK(ImageReader::open(dir / "a"));
}

TEST(ImageWriter, leaves_nothing_when_it_is_not_finished) {
  const TemporaryDir dir;
  {
    ASSERT_OK(ImageWriter::to_directory(dir / "a", {}));
    ASSERT_OK(ImageWriter::to_file(dir / "b", {}));
  }
  EXPECT_TRUE(sys::list_dir(dir.path())->empty());
}

TEST(ImageWriter, refuses_a_directory_that_holds_an_image_and_leaves_it_alone) {
  const TemporaryDir dir;
  {
    auto w = ImageWriter::to_directory(dir / "a", {});
    ASSERT_OK(w);
    ASSERT_OK((*w)->finish(new_manifest()));
  }
  const auto again = ImageWriter::to_directory(dir / "a", {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kRefused);
  ASSERT_OK(ImageReader::open(dir / "a"));
}

}  // namespace
}  // namespace godwit::image
