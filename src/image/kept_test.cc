// Images of every released format version are kept in tests/images and must load for ever.
//
// To keep those of a new version: GODWIT_WRITE_IMAGES=tests/images/vN image_test --gtest_filter='KeptImages.*', then
// commit that directory and add N to kVersions. Fuzzer seeds come out beside them (vN/seeds: move them to tests/corpus).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/io.h"
#include "image/bytes.h"
#include "image/image.h"
#include "image/testing.h"

namespace godwit::image {
namespace {

namespace fs = std::filesystem;
using testing::FakeMemory;
using testing::PageRun;
using testing::TemporaryDir;

#define ASSERT_OK(expression)                            \
  do {                                                   \
    const auto& ok = (expression);                       \
    ASSERT_TRUE(ok.has_value()) << ok.error().message(); \
  } while (false)

constexpr int kVersions[] = {1};

/// The same in every version: three pages with content, two without, then one of them written again.
FakeMemory sample_memory() {
  FakeMemory memory;
  std::mt19937_64 random(42);
  memory.fill(random, {0, 0x400000, 2 * kPageBytes});
  memory.fill(random, {1, 0x7000, kPageBytes});
  return memory;
}

void write_sample(Result<std::unique_ptr<ImageWriter>> writer) {
  ASSERT_OK(writer);
  FakeMemory before = sample_memory();
  std::mt19937_64 random(7);
  before.fill(random, {0, 0x401000, kPageBytes});
  const PageRun runs[] = {{0, 0x400000, 4 * kPageBytes}, {1, 0x7000, kPageBytes}};
  ASSERT_OK((*writer)->pages(runs, before));
  FakeMemory after = sample_memory();
  const PageRun again{0, 0x401000, kPageBytes};
  ASSERT_OK((*writer)->pages(std::span(&again, 1), after));
  const std::string content = "content of a file";
  const auto id = (*writer)->put_chunk(std::as_bytes(std::span(content)));
  ASSERT_OK(id);
  Manifest m = new_manifest();
  m.unit = "kept";
  m.name = "a kept image";
  m.grain = "pod";
  m.engine = "pod";
  m.state = "state";
  m.demands = "demands";
  m.outline = "outline";
  m.spec = R"({"argv":["true"]})";
  m.sections = {{"files.trees", "trees", {*id}, true}};
  ASSERT_OK((*writer)->finish(m));
}

void check_sample(const ImageReader& image) {
  ASSERT_OK(image.verify());
  FakeMemory back;
  ASSERT_OK(image.load_pages(back));
  EXPECT_TRUE(back == sample_memory());
  const Manifest& m = image.manifest();
  EXPECT_EQ(m.unit, "kept");
  EXPECT_EQ(m.state, "state");
  EXPECT_EQ(m.demands, "demands");
  EXPECT_EQ(m.outline, "outline");
  const Section* trees = m.find("files.trees");
  ASSERT_NE(trees, nullptr);
  EXPECT_EQ(*image.read_chunk(trees->chunks.at(0)), "content of a file");
}

void write_all(const std::string& to) {
  fs::create_directories(to + "/seeds/manifest_fuzz");
  fs::create_directories(to + "/seeds/image_fuzz");
  write_sample(ImageWriter::to_directory(to + "/directory", {}));
  write_sample(ImageWriter::to_file(to + "/file", {}));
  write_sample(ImageWriter::to_file(to + "/file-zstd-sha256", {.zstd_level = 1, .digest = DigestKind::kSha256}));
  const auto store = ChunkStore::open(to + "/chunks", {});
  ASSERT_OK(store);
  const auto history = History::open(to + "/history", **store);
  ASSERT_OK(history);
  write_sample(ImageWriter::to_history(*history, {}));

  for (const std::string name : {"file", "file-zstd-sha256"}) {
    const std::string file = *io::read_file(to + "/" + name);
    const uint64_t at = get_le64(file, file.size() - 48), length = get_le64(file, file.size() - 40);
    const std::string body = file.substr(at + 32, length - 64);
    ASSERT_OK(io::replace_file(to + "/seeds/manifest_fuzz/" + name, body));
    std::string seed(4, '\0');
    put_le32(seed, 0, static_cast<uint32_t>(body.size()));
    ASSERT_OK(
        io::replace_file(to + "/seeds/image_fuzz/" + name, seed + body + file.substr(kPageBytes, at - kPageBytes)));
  }
  const std::string manifest = *io::read_file(to + "/history/kept/1");
  ASSERT_OK(io::replace_file(to + "/seeds/manifest_fuzz/history", manifest.substr(32, manifest.size() - 64)));
  for (const auto& entry : fs::recursive_directory_iterator(to + "/chunks")) {
    const std::string name = entry.path().filename();
    if (name.size() != 64) continue;
    ASSERT_OK(
        io::replace_file(to + "/seeds/image_fuzz/chunk-" + name.substr(0, 8), "\xff" + *io::read_file(entry.path())));
  }
}

TEST(KeptImages, of_every_version_load) {
  if (const char* to = std::getenv("GODWIT_WRITE_IMAGES")) write_all(to);
  for (const int version : kVersions) {
    const std::string from = std::string(GODWIT_TEST_IMAGES) + "/v" + std::to_string(version);
    for (const char* form : {"directory", "file", "file-zstd-sha256"}) {
      SCOPED_TRACE(from + "/" + form);
      const auto image = ImageReader::open(from + "/" + form);
      ASSERT_OK(image);
      check_sample(**image);
    }
    const TemporaryDir dir;  // opening a store makes its lock
    fs::copy(from + "/chunks", dir / "chunks", fs::copy_options::recursive);
    fs::copy(from + "/history", dir / "history", fs::copy_options::recursive);
    const auto store = ChunkStore::open(dir / "chunks", {});
    ASSERT_OK(store);
    const auto history = History::open(dir / "history", **store);
    ASSERT_OK(history);
    const auto image = ImageReader::open_checkpoint(*history, "kept", 1);
    ASSERT_OK(image);
    check_sample(**image);
  }
}

}  // namespace
}  // namespace godwit::image
