// Images that somebody damaged, cut, mixed up or made to harm: each must be refused with a clear text, never crash the
// reader, and never reach an engine unchecked.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/io.h"
#include "godwit/image.pb.h"
#include "image/image.h"
#include "image/pack.h"
#include "image/testing.h"

namespace godwit::image {
namespace {

using testing::FakeMemory;
using testing::PageRun;
using testing::TemporaryDir;
namespace pb = proto::image;

#define ASSERT_OK(expression)                            \
  do {                                                   \
    const auto& ok = (expression);                       \
    ASSERT_TRUE(ok.has_value()) << ok.error().message(); \
  } while (false)

bool is_refusal(const Error& error) { return error.code == Code::kCorrupt || error.code == Code::kRefused; }

/// A page and a half of chunk; the memory page repeats, so that zstd has something to do.
void write_sample(Result<std::unique_ptr<ImageWriter>> writer) {
  ASSERT_OK(writer);
  FakeMemory memory;
  std::mt19937_64 random(1);
  memory.fill(random, {0, 0x1000, kPageBytes});
  const PageRun runs[] = {{0, 0x1000, 2 * kPageBytes}};
  ASSERT_OK((*writer)->pages(runs, memory));
  const std::string content(100, 'c');
  const auto id = (*writer)->put_chunk(std::as_bytes(std::span(content)));
  ASSERT_OK(id);
  Manifest m = new_manifest();
  m.state = "state";
  m.sections = {{"files.trees", "t", {*id}, true}};
  ASSERT_OK((*writer)->finish(m));
}

Result<void> check(const std::string& path) {
  TRY(const auto image, ImageReader::open(path));
  return image->verify();
}

class Damage : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    write_sample(ImageWriter::to_file(dir_ / "image", {.zstd_level = GetParam()}));
    good_ = *io::read_file(dir_ / "image");
    fd_ = *sys::memfd("damaged");
    ASSERT_OK(io::write_full(fd_.get(), good_));
    path_ = "/proc/self/fd/" + std::to_string(fd_.get());
    ASSERT_OK(check(path_));
  }
  TemporaryDir dir_;
  std::string good_, path_;
  Fd fd_;
};

TEST_P(Damage, every_flipped_byte_is_noticed) {
  for (size_t i = 0; i < good_.size(); i++) {
    const char bad = static_cast<char>(good_[i] ^ (1 << (i % 8)));
    ASSERT_OK(io::pwrite_full(fd_.get(), std::as_bytes(std::span(&bad, 1)), i));
    const auto done = check(path_);
    // Compressed bytes may reach the same content by another way; the content's digest says so.
    ASSERT_FALSE(done && GetParam() == 0) << "byte " << i;
    ASSERT_TRUE(done || is_refusal(done.error())) << "byte " << i << ": " << done.error().message();
    ASSERT_OK(io::pwrite_full(fd_.get(), std::as_bytes(std::span(&good_[i], 1)), i));
  }
}

TEST_P(Damage, every_shorter_length_is_noticed) {
  for (size_t length = good_.size(); length-- > 0;) {
    ASSERT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(length)), 0);
    const auto done = check(path_);
    ASSERT_FALSE(done) << length;
    ASSERT_EQ(done.error().code, Code::kCorrupt) << done.error().message();
  }
}

TEST_P(Damage, more_bytes_are_noticed) {
  ASSERT_OK(io::pwrite_full(fd_.get(), std::as_bytes(std::span("x", 1)), good_.size()));
  EXPECT_EQ(check(path_).error().code, Code::kCorrupt);
}

INSTANTIATE_TEST_SUITE_P(PlainAndCompressed, Damage, ::testing::Values(0, 1));

TEST(HostileDirectory, every_flipped_byte_of_the_manifest_is_noticed) {
  const TemporaryDir dir;
  write_sample(ImageWriter::to_directory(dir / "image", {}));
  const std::string path = dir / "image/manifest";
  const std::string good = *io::read_file(path);
  for (size_t i = 0; i < good.size(); i++) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    ASSERT_OK(io::replace_file(path, bad));
    const auto done = ImageReader::open(dir / "image");
    ASSERT_FALSE(done) << i;
    ASSERT_TRUE(is_refusal(done.error()));
  }
}

TEST(HostileDirectory, a_pack_of_another_image_is_noticed) {
  const TemporaryDir dir;
  write_sample(ImageWriter::to_directory(dir / "a", {}));
  write_sample(ImageWriter::to_directory(dir / "b", {}));
  ASSERT_OK(sys::rename(dir / "a/pack-0", dir / "b/pack-0"));
  const auto done = check(dir / "b");
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().text.find("another image"), std::string::npos) << done.error().text;
  EXPECT_EQ(check(dir / "a").error().code, Code::kCorrupt);  // its pack is missing
}

TEST(HostileDirectory, things_that_are_not_files_are_refused_without_waiting) {
  const TemporaryDir dir;
  ASSERT_OK(sys::make_dirs(dir / "fifo"));
  ASSERT_EQ(::mkfifo((dir / "fifo/manifest").c_str(), 0600), 0);
  EXPECT_EQ(check(dir / "fifo").error().code, Code::kCorrupt);
  EXPECT_EQ(check(dir / "fifo/manifest").error().code, Code::kCorrupt);
  EXPECT_FALSE(check("/dev/zero"));
  EXPECT_EQ(check(dir / "nothing").error().code, Code::kNotFound);
  EXPECT_EQ(check(dir.path()).error().code, Code::kCorrupt);  // no manifest
  ASSERT_OK(io::replace_file(dir / "empty", ""));
  EXPECT_EQ(check(dir / "empty").error().code, Code::kCorrupt);
  EXPECT_EQ(check("/proc/self/exe").error().code, Code::kCorrupt);
}

TEST(HostileMemory, a_damaged_record_never_reaches_the_writer) {
  const TemporaryDir dir;
  write_sample(ImageWriter::to_directory(dir / "image", {}));
  const auto image = ImageReader::open(dir / "image");
  ASSERT_OK(image);
  const Fd pack = *sys::open(dir / "image/pack-0", O_WRONLY);
  ASSERT_OK(io::pwrite_full(pack.get(), std::as_bytes(std::span("!", 1)), 5000));
  FakeMemory target;
  EXPECT_EQ((*image)->load_pages(target).error().code, Code::kCorrupt);
  EXPECT_EQ(target.writes(), 0u);
}

// Manifests with a right digest and wrong content.

pb::Manifest body() {
  pb::Manifest m;
  m.set_image_id(std::string(16, 'i'));
  return m;
}

std::string frame(const std::string& text, uint32_t version = 1) {
  std::string out = "GODWITIM";
  const auto append = [&](uint64_t value, int width) {
    for (int i = 0; i < width; i++) out += static_cast<char>(value >> (8 * i) & 0xff);
  };
  append(version, 4);
  append(0, 4);
  append(text.size(), 8);
  append(0, 8);
  out += text;
  const ChunkId digest = sha256(std::as_bytes(std::span(out)));
  return out.append(reinterpret_cast<const char*>(digest.bytes.data()), 32);
}

Result<Manifest> decode_text(const std::string& text) { return decode(std::as_bytes(std::span(text))); }
Error refusal_of(const pb::Manifest& m) {
  const auto done = decode_text(frame(m.SerializeAsString()));
  return done ? Error{Code::kFailed, 0, "was accepted"} : done.error();
}

void add_record(pb::Manifest& m, uint32_t space, int64_t page, uint32_t pages) {
  auto& memory = *m.mutable_memory();
  memory.set_place(pb::PLACE_CHUNK);
  memory.set_digest(pb::DIGEST_SHA256);
  memory.mutable_digests()->append(32, 'd');
  memory.add_record_runs(1);
  memory.add_run_space(space);
  memory.add_run_page(page);
  memory.add_run_pages(pages);
}

TEST(HostileManifest, the_smallest_good_one_is_accepted) {
  ASSERT_OK(decode_text(frame(body().SerializeAsString())));
  pb::Manifest m = body();
  add_record(m, 1, 5, 256);
  add_record(m, 1, 0, 1);  // differences: directly after
  const auto done = decode_text(frame(m.SerializeAsString()));
  ASSERT_OK(done);
  EXPECT_EQ(done->memory.runs[1].address, 261 * kPageBytes);
}

TEST(HostileManifest, a_newer_version_is_refused_as_such) {
  const auto done = decode_text(frame(body().SerializeAsString(), 2));
  EXPECT_EQ(done.error().code, Code::kRefused);
  EXPECT_NE(done.error().text.find("version 2"), std::string::npos);
}

TEST(HostileManifest, an_unknown_section_is_refused_only_if_required) {
  pb::Manifest m = body();
  m.add_sections()->set_name("future.thing");
  ASSERT_OK(decode_text(frame(m.SerializeAsString())));
  m.mutable_sections(0)->set_required(true);
  EXPECT_EQ(refusal_of(m).code, Code::kRefused);
}

TEST(HostileManifest, pages_from_two_places_are_refused) {
  pb::Manifest m = body();
  add_record(m, 1, 5, 2);
  add_record(m, 1, -1, 1);
  EXPECT_NE(refusal_of(m).text.find("twice"), std::string::npos);
  pb::Manifest z = body();
  add_record(z, 1, 5, 2);
  z.mutable_memory()->add_zero_space(1);
  z.mutable_memory()->add_zero_page(0);
  z.mutable_memory()->add_zero_pages(6);
  EXPECT_NE(refusal_of(z).text.find("twice"), std::string::npos);
}

TEST(HostileManifest, numbers_out_of_range_are_refused) {
  for (const int64_t page : {int64_t{-1}, INT64_MAX, INT64_MIN, int64_t{1} << 51}) {
    pb::Manifest m = body();
    add_record(m, 1, page, 1);
    EXPECT_EQ(refusal_of(m).code, Code::kCorrupt) << page;
  }
  for (const uint32_t pages : {0u, 257u, UINT32_MAX}) {
    pb::Manifest m = body();
    add_record(m, 1, 5, pages);
    EXPECT_EQ(refusal_of(m).code, Code::kCorrupt) << pages;
  }
  pb::Manifest m = body();
  m.mutable_memory()->add_zero_space(0);
  m.mutable_memory()->add_zero_page(0);
  m.mutable_memory()->add_zero_pages(1);
  EXPECT_EQ(refusal_of(m).code, Code::kCorrupt);
}

TEST(HostileManifest, columns_of_different_length_are_refused) {
  for (int column = 0; column < 4; column++) {
    pb::Manifest m = body();
    add_record(m, 1, 5, 1);
    auto& memory = *m.mutable_memory();
    if (column == 0) memory.add_run_page(1);
    if (column == 1) memory.mutable_digests()->append("x");
    if (column == 2) memory.add_record_runs(1);
    if (column == 3) memory.set_record_runs(0, UINT32_MAX);
    EXPECT_EQ(refusal_of(m).code, Code::kCorrupt) << column;
  }
}

TEST(HostileManifest, packs_with_gaps_overlaps_or_strange_places_are_refused) {
  const auto with = [](uint64_t block, uint32_t pack, uint64_t pack_bytes, uint32_t stored) {
    pb::Manifest m = body();
    add_record(m, 1, 5, 1);
    auto& memory = *m.mutable_memory();
    memory.set_place(pb::PLACE_PACK);
    memory.add_record_offset(block);
    memory.add_record_pack(pack);
    memory.add_record_stored(stored);
    m.add_pack_bytes(pack_bytes);
    return m;
  };
  ASSERT_OK(decode_text(frame(with(1, 0, 8192, 0).SerializeAsString())));
  EXPECT_EQ(refusal_of(with(0, 0, 8192, 0)).code, Code::kCorrupt);
  EXPECT_EQ(refusal_of(with(2, 0, 12288, 0)).code, Code::kCorrupt);
  EXPECT_EQ(refusal_of(with(1, 0, 12288, 0)).code, Code::kCorrupt);
  EXPECT_EQ(refusal_of(with(1, 1, 8192, 0)).code, Code::kCorrupt);
  EXPECT_EQ(refusal_of(with(1, 0, 8192, 4096)).code, Code::kCorrupt);
  EXPECT_EQ(refusal_of(with(UINT64_MAX, 0, 8192, 0)).code, Code::kCorrupt);
}

TEST(HostileManifest, floods_are_refused_before_they_are_parsed) {
  std::string sections, unknown;
  for (size_t i = 0; i <= kMaxSections; i++) sections += std::string("\xa2\x01\x00", 3);  // empty section
  EXPECT_NE(decode_text(frame(sections)).error().text.find("sections"), std::string::npos);
  for (size_t i = 0; i <= kMaxTopFields; i++) unknown += std::string("\xf8\x06\x01", 3);  // field 111
  EXPECT_NE(decode_text(frame(unknown)).error().text.find("fields"), std::string::npos);
  EXPECT_EQ(decode_text(frame(std::string(100, '\xff'))).error().code, Code::kCorrupt);
}

TEST(HostileManifest, an_announced_length_is_not_believed) {
  std::string text = frame(body().SerializeAsString());
  for (const size_t at : {16, 19, 23}) {
    std::string bad = text;
    bad[at] = '\x7f';
    EXPECT_EQ(decode_text(bad).error().code, Code::kCorrupt);
  }
}

}  // namespace
}  // namespace godwit::image
