#include "files/hash.h"

#include "files/testing.h"

namespace godwit::files {
namespace {

using testing::good;

HashJob job_for(const std::string& path) {
  HashJob job;
  job.name = path;
  job.open = [path] { return sys::open(path, O_RDONLY); };
  return job;
}

Hashed hash(const std::string& path, HashCache* cache = nullptr) {
  HashJob job = job_for(path);
  hash_files(std::span(&job, 1), cache, {});
  good(job.status);
  return job.result;
}

TEST(Chunks, are_named_by_their_sha256) {
  EXPECT_EQ(chunk_id_of(std::as_bytes(std::span("abc", 3))).hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Chunks, zero_test_looks_at_every_byte) {
  for (size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{4096}}) {
    std::vector<std::byte> data(size);
    EXPECT_TRUE(is_zero(data));
    for (size_t i = 0; i < size; ++i) {
      data[i] = std::byte{1};
      EXPECT_FALSE(is_zero(data)) << size << " " << i;
      data[i] = std::byte{0};
    }
  }
}

TEST(ChunkDirectory, refuses_bytes_under_a_wrong_name_and_notices_damage) {
  testing::TemporaryDir dir;
  auto store = good(ChunkDir::open(dir / "chunks"));
  const std::string text = "some content";
  const auto data = std::as_bytes(std::span(text));
  const ChunkId id = chunk_id_of(data);
  EXPECT_EQ(store.put(ChunkId{}, data).error().code, Code::kCorrupt);
  good(store.put(id, data));
  EXPECT_TRUE(store.has(id));
  std::vector<std::byte> out(text.size());
  good(store.read(id, out));
  EXPECT_EQ(std::memcmp(out.data(), text.data(), text.size()), 0);
  testing::write_at(dir / "chunks/" + id.hex(), "X");
  EXPECT_EQ(store.read(id, out).error().code, Code::kCorrupt);
  std::vector<std::byte> longer(text.size() + 1);
  EXPECT_EQ(store.read(id, longer).error().code, Code::kCorrupt);
}

TEST(Hashing, cuts_a_file_at_every_mebibyte) {
  testing::TemporaryDir dir;
  testing::Random random;
  const std::string data = random.bytes(2 * kChunkSize + 12345);
  testing::write_at(dir / "f", data);
  const Content content = hash(dir / "f").content;
  EXPECT_EQ(content.size, data.size());
  ASSERT_EQ(content.pieces.size(), 3u);
  EXPECT_EQ(content.pieces[2].id, chunk_id_of(std::as_bytes(std::span(data)).subspan(2 * kChunkSize)));
  EXPECT_EQ(content.piece_length(2), 12345u);
}

TEST(Hashing, leaves_out_holes_and_zeros_even_of_absurd_length) {
  testing::TemporaryDir dir;
  testing::write_at(dir / "sparse", "end", uint64_t{1} << 43);
  const Content content = hash(dir / "sparse").content;
  EXPECT_EQ(content.size, (uint64_t{1} << 43) + 3);
  ASSERT_EQ(content.pieces.size(), 1u);
  EXPECT_EQ(content.pieces[0].index, (uint64_t{1} << 43) / kChunkSize);
  testing::write_at(dir / "zeros", std::string(3 * kChunkSize, '\0'));
  EXPECT_TRUE(hash(dir / "zeros").content.pieces.empty());
}

TEST(Hashing, uses_the_old_name_of_a_chunk_whose_fingerprint_is_unchanged) {
  testing::TemporaryDir dir;
  testing::Random random;
  testing::write_at(dir / "f", random.bytes(3 * kChunkSize));
  HashJob first = job_for(dir / "f");
  first.with_fingerprints = true;
  hash_files(std::span(&first, 1), nullptr, {});
  good(first.status);
  // A forged old name proves that the chunk wasn't hashed again; the changed chunk must be.
  Hashed old = first.result;
  old.content.pieces[0].id.bytes.fill(7);
  old.content.pieces[1].id.bytes.fill(7);
  testing::write_at(dir / "f", "changed", kChunkSize + 5);
  HashJob second = job_for(dir / "f");
  second.with_fingerprints = true;
  second.previous = &old;
  hash_files(std::span(&second, 1), nullptr, {});
  good(second.status);
  EXPECT_EQ(second.result.content.pieces[0].id, old.content.pieces[0].id);
  EXPECT_NE(second.result.content.pieces[1].id, old.content.pieces[1].id);
  EXPECT_NE(second.result.content.pieces[1].id, first.result.content.pieces[1].id);
  EXPECT_EQ(second.result.content.pieces[2].id, first.result.content.pieces[2].id);
}

TEST(Hashing, does_not_believe_a_stamp_as_young_as_the_clock_tick) {
  testing::TemporaryDir dir("/var/tmp");  // on a tmpfs, as /tmp may be, no stamp is believed
  testing::write_at(dir / "f", "x");
  EXPECT_FALSE(hash(dir / "f").settled);
  testing::wait_until_settled(dir / "f");
  EXPECT_TRUE(hash(dir / "f").settled);
}

TEST(Hashing, names_the_file_it_cannot_read) {
  HashJob job = job_for("/nonexistent/file");
  hash_files(std::span(&job, 1), nullptr, {});
  ASSERT_FALSE(job.status);
  EXPECT_NE(job.status.error().text.find("/nonexistent/file"), std::string::npos);
}

TEST(Hashing, tells_its_progress_up_to_the_end) {
  testing::TemporaryDir dir;
  testing::Random random;
  testing::write_at(dir / "f", random.bytes(20 * kChunkSize));
  HashJob job = job_for(dir / "f");
  uint64_t last = 0;
  hash_files(std::span(&job, 1), nullptr, [&](const ProgressMark& mark) {
    EXPECT_EQ(mark.bytes_total, 20 * kChunkSize);
    last = std::max(last, mark.bytes_done);
  });
  EXPECT_EQ(last, 20 * kChunkSize);
}

TEST(HashCache, remembers_by_stamp_and_forgets_what_is_damaged) {
  testing::TemporaryDir dir("/var/tmp");
  testing::Random random;
  auto cache = good(HashCache::open(dir / "cache"));
  testing::write_at(dir / "f", random.bytes(kChunkSize + 7));
  testing::wait_until_settled(dir / "f");
  const Hashed first = hash(dir / "f", &cache);
  Content found;
  ASSERT_TRUE(cache.find(first.stamp, found));
  EXPECT_EQ(found, first.content);
  Stamp other = first.stamp;
  ++other.ctime_ns;
  EXPECT_FALSE(cache.find(other, found));

  const auto names = good(sys::list_dir(dir / "cache"));
  ASSERT_EQ(names.size(), 1u);
  const std::string entry = dir / "cache/" + names[0];
  const std::string whole = testing::slurp(entry);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string bad = whole;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    good(io::replace_file(entry, bad));
    EXPECT_FALSE(cache.find(first.stamp, found)) << "byte " << i;
    good(io::replace_file(entry, std::string_view(whole).substr(0, i)));
    EXPECT_FALSE(cache.find(first.stamp, found)) << "length " << i;
  }
  good(cache.trim(0));
  EXPECT_TRUE(good(sys::list_dir(dir / "cache")).empty());
}

}  // namespace
}  // namespace godwit::files
