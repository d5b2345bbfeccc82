#include "image/history.h"

#include <gtest/gtest.h>

#include "base/io.h"
#include "image/image.h"
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

class Histories : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    StoreOptions options;
    if (GetParam()) options.key.emplace().fill(3);
    auto store = ChunkStore::open(dir_ / "chunks", options);
    ASSERT_OK(store);
    store_ = std::move(*store);
    auto history = History::open(dir_ / "history", *store_);
    ASSERT_OK(history);
    history_.emplace(std::move(*history));
    memory_.fill(random_, {0, 0x100000, kPages * kPageBytes});
  }
  Result<Written> checkpoint(const std::string& unit = "u-1") {
    TRY(auto writer, ImageWriter::to_history(*history_, {}));
    const PageRun all{0, 0x100000, kPages * kPageBytes};
    TRY_DO(writer->pages(std::span(&all, 1), memory_));
    Manifest m = new_manifest();
    m.unit = unit;
    m.state = "the state";
    const std::string file = "a file's content";
    TRY(const ChunkId id, writer->put_chunk(std::as_bytes(std::span(file))));
    m.sections = {{"files.trees", "", {id}, true}};
    return writer->finish(m);
  }
  static constexpr uint64_t kPages = 512;
  TemporaryDir dir_;
  std::unique_ptr<ChunkStore> store_;
  std::optional<History> history_;
  const uint64_t seed_ = std::random_device{}();
  std::mt19937_64 random_{seed_};
  FakeMemory memory_;
};

TEST_P(Histories, a_second_checkpoint_costs_only_what_changed) {
  SCOPED_TRACE(seed_);
  const auto first = checkpoint();
  ASSERT_OK(first);
  EXPECT_EQ(first->manifest.checkpoint, 1u);
  memory_.fill(random_, {0, 0x100000 + 3 * kPageBytes, kPageBytes});
  const auto second = checkpoint();
  ASSERT_OK(second);
  EXPECT_EQ(second->manifest.checkpoint, 2u);
  EXPECT_LT(second->bytes_stored, kMemoryChunkBytes + 8192);
  EXPECT_GT(first->bytes_stored, 6 * second->bytes_stored);
}

TEST_P(Histories, every_checkpoint_comes_back_as_it_was) {
  SCOPED_TRACE(seed_);
  ASSERT_OK(checkpoint());
  FakeMemory was;
  ASSERT_OK((*ImageReader::open_checkpoint(*history_, "u-1", 1))->load_pages(was));
  EXPECT_TRUE(was == memory_);
  memory_.fill(random_, {0, 0x100000, 5 * kPageBytes});
  ASSERT_OK(checkpoint());
  for (const uint64_t number : {1, 2}) {
    const auto image = ImageReader::open_checkpoint(*history_, "u-1", number);
    ASSERT_OK(image);
    ASSERT_OK((*image)->verify());
    FakeMemory back;
    ASSERT_OK((*image)->load_pages(back));
    EXPECT_EQ(back == memory_, number == 2);
    EXPECT_EQ(back == was, number == 1);
    EXPECT_EQ(*(*image)->read_chunk((*image)->manifest().sections[0].chunks[0]), "a file's content");
  }
}

TEST_P(Histories, a_checkpoint_can_be_carried_in_a_file_and_back_into_a_history) {
  SCOPED_TRACE(seed_);
  memory_.clear({0, 0x100000 + 9 * kPageBytes, 3 * kPageBytes});
  ASSERT_OK(checkpoint());
  {
    const auto from = ImageReader::open_checkpoint(*history_, "u-1", 1);
    ASSERT_OK(from);
    auto to = ImageWriter::to_file(dir_ / "file", {.zstd_level = 1});
    ASSERT_OK(to);
    ASSERT_OK((*to)->copy(**from));
    ASSERT_OK((*to)->finish((*from)->manifest()));
  }
  const auto file = ImageReader::open(dir_ / "file");
  ASSERT_OK(file);
  ASSERT_OK((*file)->verify());
  FakeMemory back;
  ASSERT_OK((*file)->load_pages(back));
  EXPECT_TRUE(back == memory_);

  auto again = ImageWriter::to_history(*history_, {});
  ASSERT_OK(again);
  ASSERT_OK((*again)->copy(**file));
  Manifest m = (*file)->manifest();
  m.unit = "u-2";
  const auto written = (*again)->finish(m);
  ASSERT_OK(written);
  EXPECT_LT(written->bytes_stored, 16384u);  // every chunk was there
  ASSERT_OK((*ImageReader::open_checkpoint(*history_, "u-2", 1))->verify());
}

TEST_P(Histories, prune_and_collect_remove_what_no_kept_checkpoint_needs) {
  for (int i = 0; i < 4; i++) {
    memory_.fill(random_, {0, 0x100000, 64 * kPageBytes});
    ASSERT_OK(checkpoint());
  }
  const auto removed = history_->prune("u-1", {.newest = 1, .pinned = {2}}, 0);
  ASSERT_OK(removed);
  EXPECT_EQ(*removed, (std::vector<uint64_t>{1, 3}));
  const auto done = history_->collect();
  ASSERT_OK(done);
  EXPECT_EQ(done->chunks_removed, 2u);
  for (const uint64_t number : {2, 4}) ASSERT_OK((*ImageReader::open_checkpoint(*history_, "u-1", number))->verify());
  EXPECT_EQ(ImageReader::open_checkpoint(*history_, "u-1", 1).error().code, Code::kNotFound);
}

TEST_P(Histories, a_number_is_never_given_twice) {
  ASSERT_OK(checkpoint());
  ASSERT_OK(checkpoint());
  ASSERT_OK(history_->remove("u-1", 2));
  EXPECT_EQ(checkpoint()->manifest.checkpoint, 3u);
  EXPECT_EQ(history_->list("u-1")->size(), 2u);
}

TEST_P(Histories, nothing_is_collected_while_a_manifest_is_damaged) {
  ASSERT_OK(checkpoint());
  ASSERT_OK(checkpoint("u-2"));
  const std::string path = dir_ / "history/u-1/1";
  auto text = io::read_file(path);
  ASSERT_OK(text);
  text->back() = static_cast<char>(text->back() ^ 1);
  ASSERT_OK(io::replace_file(path, *text));
  EXPECT_FALSE((*history_->list("u-1"))[0].damage.empty());
  EXPECT_EQ(history_->collect().error().code, Code::kRefused);
  ASSERT_OK((*ImageReader::open_checkpoint(*history_, "u-2", 1))->verify());
}

TEST_P(Histories, a_manifest_under_another_number_is_refused) {
  ASSERT_OK(checkpoint());
  ASSERT_OK(sys::rename(dir_ / "history/u-1/1", dir_ / "history/u-1/7"));
  EXPECT_EQ(history_->load("u-1", 7).error().code, Code::kCorrupt);
}

TEST_P(Histories, names_that_leave_the_directory_are_refused) {
  for (const char* name : {"", "..", "a/b", ".hidden"}) {
    EXPECT_EQ(checkpoint(name).error().code, Code::kUsage) << name;
    EXPECT_EQ(history_->load(name, 1).error().code, Code::kUsage) << name;
  }
}

TEST_P(Histories, a_missing_chunk_is_damage) {
  ASSERT_OK(checkpoint());
  const auto image = ImageReader::open_checkpoint(*history_, "u-1", 1);
  ASSERT_OK(image);
  const std::string id = (*image)->manifest().memory.records[0].digest.hex();
  ASSERT_OK(sys::unlink(dir_ / ("chunks/" + id.substr(0, 2) + "/" + id)));
  EXPECT_EQ((*image)->verify().error().code, Code::kCorrupt);
}

INSTANTIATE_TEST_SUITE_P(PlainAndEncrypted, Histories, ::testing::Bool());

}  // namespace
}  // namespace godwit::image
