#include "image/store.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "base/io.h"
#include "image/testing.h"

namespace godwit::image {
namespace {

using testing::TemporaryDir;

#define ASSERT_OK(expression)                            \
  do {                                                   \
    const auto& ok = (expression);                       \
    ASSERT_TRUE(ok.has_value()) << ok.error().message(); \
  } while (false)

std::span<const std::byte> bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

/// The only chunk file of a store.
std::string file_of(const TemporaryDir& dir, const ChunkId& id) {
  return dir / (id.hex().substr(0, 2) + "/" + id.hex());
}

Result<void> keep_nothing(const ChunkStore::Keep&) { return {}; }

StoreKey test_key(unsigned char fill) {
  StoreKey key;
  key.fill(fill);
  return key;
}

class Stores : public ::testing::TestWithParam<std::tuple<int, bool>> {
 protected:
  StoreOptions options() const {
    const auto [level, encrypted] = GetParam();
    StoreOptions out{.zstd_level = level, .key = {}};
    if (encrypted) out.key = test_key(7);
    return out;
  }
  TemporaryDir dir_;
};

TEST_P(Stores, content_comes_back_and_costs_once) {
  const auto store = ChunkStore::open(dir_.path(), options());
  ASSERT_OK(store);
  const auto session = (*store)->session();
  ASSERT_OK(session);
  std::string random(100000, '\0');
  std::mt19937 source(1);
  for (char& c : random) c = static_cast<char>(source());
  for (const std::string& content : {std::string("x"), std::string(300000, 'a'), random}) {
    const auto first = session->put(bytes(content));
    ASSERT_OK(first);
    EXPECT_GT(first->bytes_added, 0u);
    EXPECT_TRUE((*store)->has(first->id));
    const auto second = session->put(bytes(content));
    ASSERT_OK(second);
    EXPECT_EQ(second->id, first->id);
    EXPECT_EQ(second->bytes_added, 0u);
    const auto back = (*store)->get(first->id);
    ASSERT_OK(back);
    EXPECT_TRUE(*back == content);
  }
}

TEST_P(Stores, a_flipped_or_cut_chunk_is_refused_put_aside_and_healed_by_the_next_put) {
  const auto store = ChunkStore::open(dir_.path(), options());
  ASSERT_OK(store);
  const auto session = (*store)->session();
  ASSERT_OK(session);
  const std::string content = "some content, some content, some content, some content, some content, some content";
  const auto put = session->put(bytes(content));
  ASSERT_OK(put);
  const auto good = io::read_file(file_of(dir_, put->id));
  ASSERT_OK(good);
  for (size_t i = 0; i < 2 * good->size(); i++) {
    std::string bad = *good;
    if (i < bad.size())
      bad[i] = static_cast<char>(bad[i] ^ 1);
    else
      bad.resize(i - bad.size());
    ASSERT_OK(io::replace_file(file_of(dir_, put->id), bad));
    const auto back = (*store)->get(put->id);
    if (back) {
      EXPECT_EQ(*back, content) << i;  // zstd may reach the same bytes by another match
      continue;
    }
    EXPECT_TRUE(back.error().code == Code::kCorrupt || back.error().code == Code::kRefused) << back.error().message();
  }
  ASSERT_OK(io::replace_file(file_of(dir_, put->id), good->substr(0, good->size() - 1)));
  EXPECT_FALSE((*store)->has(put->id));
  ASSERT_OK(session->put(bytes(content)));
  ASSERT_OK((*store)->get(put->id));
}

INSTANTIATE_TEST_SUITE_P(All, Stores, ::testing::Combine(::testing::Values(0, 1), ::testing::Bool()));

TEST(ChunkStore, a_wrong_key_reads_nothing_and_harms_nothing) {
  const TemporaryDir dir;
  const auto store = ChunkStore::open(dir.path(), {.key = test_key(1)});
  ASSERT_OK(store);
  const std::string secret = "attack at dawn, attack at dawn";
  const auto put = (*store)->session()->put(bytes(secret));
  ASSERT_OK(put);
  EXPECT_EQ(io::read_file(file_of(dir, put->id))->find("dawn"), std::string::npos);
  const auto other = ChunkStore::open(dir.path(), {.key = test_key(2)});
  EXPECT_EQ((*other)->get(put->id).error().code, Code::kCorrupt);
  const auto none = ChunkStore::open(dir.path(), {});
  EXPECT_EQ((*none)->get(put->id).error().code, Code::kRefused);
  EXPECT_EQ(*(*store)->get(put->id), secret);
}

TEST(ChunkStore, a_chunk_under_another_name_is_refused) {
  const TemporaryDir dir;
  const auto store = ChunkStore::open(dir.path(), {});
  const auto session = (*store)->session();
  const auto a = session->put(bytes("aaaa")), b = session->put(bytes("bbbb"));
  ASSERT_OK(a);
  ASSERT_OK(b);
  ASSERT_OK(sys::rename(file_of(dir, a->id), file_of(dir, b->id)));
  EXPECT_EQ((*store)->get(b->id).error().code, Code::kCorrupt);
  EXPECT_EQ((*store)->get(a->id).error().code, Code::kNotFound);
}

TEST(ChunkStore, a_wrong_expectation_is_not_held_against_the_chunk) {
  const TemporaryDir dir;
  const auto store = ChunkStore::open(dir.path(), {});
  const auto put = (*store)->session()->put(bytes("aaaa"));
  std::byte room[3];
  EXPECT_EQ((*store)->get_into(put->id, room).error().code, Code::kCorrupt);
  EXPECT_TRUE((*store)->has(put->id));
}

TEST(ChunkStore, collects_what_is_not_marked_and_only_without_sessions) {
  const TemporaryDir dir;
  const auto store = ChunkStore::open(dir.path(), {});
  ChunkId kept;
  {
    const auto session = (*store)->session();
    kept = session->put(bytes("kept"))->id;
    ASSERT_OK(session->put(bytes("gone")));
    EXPECT_EQ((*store)->collect(keep_nothing).error().code, Code::kRefused);
  }
  const auto failed = (*store)->collect([](const ChunkStore::Keep&) { return fail(Code::kCorrupt, "a bad manifest"); });
  EXPECT_EQ(failed.error().code, Code::kCorrupt);
  const auto done = (*store)->collect([&](const ChunkStore::Keep& keep) -> Result<void> {
    keep(kept);
    return {};
  });
  ASSERT_OK(done);
  EXPECT_EQ(done->chunks_kept, 1u);
  EXPECT_EQ(done->chunks_removed, 1u);
  EXPECT_TRUE((*store)->has(kept));
}

TEST(ChunkStore, several_writers_of_the_same_content_agree) {
  const TemporaryDir dir;
  const auto store = ChunkStore::open(dir.path(), {});
  std::vector<std::jthread> writers;
  for (int w = 0; w < 4; w++)
    writers.emplace_back([&] {
      const auto session = (*store)->session();
      for (int i = 0; i < 100; i++) EXPECT_TRUE(session->put(bytes("content " + std::to_string(i))));
    });
  writers.clear();
  EXPECT_TRUE((*store)->verify()->empty());
  EXPECT_EQ((*store)->collect(keep_nothing)->chunks_removed, 100u);
}

TEST(ChunkStore, a_full_disk_is_an_error_and_leaves_no_part) {
  const TemporaryDir dir;
  const auto store = ChunkStore::open(dir.path(), {.zstd_level = 0, .key = {}});
  const pid_t child = ::fork();
  if (child == 0) {
    // The kernel's limit of a file's size fails in the middle of a write, as a full disk does.
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto session = (*store)->session();
    const auto put = session->put(bytes(std::string(100000, 'a')));
    ::_exit(!put && put.error().code == Code::kSystem ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const auto done = (*store)->collect(keep_nothing);
  ASSERT_OK(done);
  EXPECT_EQ(done->bytes_removed, 0u);
}

TEST(ChunkStore, a_killed_writer_leaves_a_good_store_and_no_lock) {
  const TemporaryDir dir;
  const auto store = ChunkStore::open(dir.path(), {});
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 5; round++) {
    auto [r, w] = *sys::pipe();
    const pid_t child = ::fork();
    if (child == 0) {
      const auto session = (*store)->session();
      for (int i = 0;; i++) {
        (void)session->put(bytes(std::string(5000, 'a') + std::to_string(round) + "." + std::to_string(i)));
        (void)io::write_full(w.get(), "x");
      }
    }
    std::vector<std::byte> some(1 + random() % 50);
    ASSERT_OK(io::read_full(r.get(), some));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_TRUE((*store)->verify()->empty());
  }
  ASSERT_OK((*store)->collect(keep_nothing));
  const auto shards = sys::list_dir(dir.path());
  ASSERT_OK(shards);
  for (const std::string& shard : *shards) {
    if (shard.size() == 2) {
      EXPECT_TRUE(sys::list_dir(dir / shard)->empty());
    }
  }
}

TEST(ChunkId, hexadecimal_digits_there_and_back) {
  const ChunkId id = sha256(bytes("abc"));
  EXPECT_EQ(id.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(*ChunkId::from_hex(id.hex()), id);
  EXPECT_FALSE(ChunkId::from_hex("ba78"));
  EXPECT_FALSE(ChunkId::from_hex(std::string(64, 'G')));
}

}  // namespace
}  // namespace godwit::image
