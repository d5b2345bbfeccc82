#include "files/demand.h"

#include <algorithm>

#include "files/testing.h"

namespace godwit::files {
namespace {

using testing::good;
using testing::Random;
using testing::TemporaryDir;
using testing::write_at;

// Two directories stand for the root directories of two hosts.
struct Hosts {
  TemporaryDir source;
  TemporaryDir destination;
  TemporaryDir store_dir;
  ChunkDir store = good(ChunkDir::open(store_dir / "chunks"));
  Fd source_root = source.fd();
  Fd destination_root = destination.fd();

  void both(const std::string& path, const std::string& content) const {
    for (const TemporaryDir* host : {&source, &destination}) {
      if (path.contains('/')) good(sys::make_dirs(*host / path.substr(0, path.rfind('/'))));
      write_at(*host / path, content);
    }
  }
  std::vector<Demand> demands(std::vector<Needed> needed, DescribeOptions options = {}) const {
    Described described = good(describe(source_root, needed, options));
    EXPECT_TRUE(described.blockers.empty());
    good(check_demands(described.demands));
    return described.demands;
  }
  Verdict verdict(const std::vector<Demand>& list) const {
    return good(match(destination_root, list, store, nullptr, {}));
  }
};

TEST(Match, uses_what_has_the_same_content_whatever_its_owner_and_time) {
  Hosts h;
  Random random;
  h.both("lib/same.so", random.bytes(3000));
  const timespec old[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (h.destination / "lib/same.so").c_str(), old, 0), 0);
  const auto verdict = h.verdict(h.demands({{"/lib/same.so", Use::kMapped, "x"}, {"/lib", Use::kDirectory, "x"}}));
  EXPECT_EQ(verdict.presence, (std::vector{Presence::kSame, Presence::kSame}));
  EXPECT_TRUE(verdict.wanted.empty());
}

TEST(Match, wants_each_chunk_of_what_is_missing_or_different_once) {
  Hosts h;
  Random random;
  const std::string part = random.bytes(kChunkSize);
  h.both("a", "here");
  write_at(h.source / "b", part + part + "tail");
  h.both("c", "xxxx");
  write_at(h.source / "c", "yyyy");
  const auto demands = h.demands({{"/a", Use::kOpenRead, ""}, {"/b", Use::kOpenRead, ""}, {"/c", Use::kMapped, ""}});
  const auto verdict = h.verdict(demands);
  EXPECT_EQ(verdict.presence, (std::vector{Presence::kSame, Presence::kMissing, Presence::kDifferent}));
  EXPECT_EQ(verdict.wanted.size(), 3u);
  EXPECT_EQ(verdict.wanted_bytes, kChunkSize + 4 + 4);
  // They can be read at the source, and once they are in the store they aren't wanted any more.
  const FileChunks chunks = good(demand_chunks(h.source_root, demands));
  for (const ChunkWant& want : verdict.wanted) {
    std::vector<std::byte> data(want.length);
    good(chunks.read(want.id, data));
    good(h.store.put(want.id, data));
  }
  EXPECT_TRUE(h.verdict(demands).wanted.empty());
}

TEST(Match, takes_from_a_large_different_file_what_it_has_in_common) {
  Hosts h;
  Random random;
  h.both("data", random.bytes(10 * kChunkSize));
  write_at(h.source / "data", "grown", 10 * kChunkSize);
  const auto demands = h.demands({{"/data", Use::kOpenRead, ""}});
  const auto verdict = h.verdict(demands);
  ASSERT_EQ(verdict.wanted.size(), 1u);
  EXPECT_EQ(verdict.wanted[0].length, 5u);
  EXPECT_TRUE(verdict.local.has(demands[0].recipe.content.pieces[3].id));
}

TEST(Match, does_not_take_a_program_that_may_not_be_executed) {
  Hosts h;
  h.both("prog", "#!/bin/true\n");
  ASSERT_EQ(::chmod((h.source / "prog").c_str(), 0755), 0);
  EXPECT_EQ(h.verdict(h.demands({{"/prog", Use::kExecutable, ""}})).presence[0], Presence::kDifferent);
}

TEST(Match, follows_the_destinations_own_links) {
  Hosts h;
  good(sys::make_dirs(h.source / "lib"));
  write_at(h.source / "lib/x", "content");
  good(sys::make_dirs(h.destination / "usr/lib"));
  ASSERT_EQ(::symlink("usr/lib", (h.destination / "lib").c_str()), 0);
  write_at(h.destination / "usr/lib/x", "content");
  EXPECT_EQ(h.verdict(h.demands({{"/lib/x", Use::kMapped, ""}})).presence[0], Presence::kSame);
}

TEST(Describe, leaves_out_what_travels_with_the_work_directory) {
  Hosts h;
  h.both("job/file", "x");
  h.both("jobshop", "x");
  DescribeOptions options;
  options.carried = {"/job"};
  const auto demands = h.demands(
      {{"/job/file", Use::kOpenWrite, ""}, {"/job", Use::kDirectory, ""}, {"/jobshop", Use::kOpenRead, ""}}, options);
  ASSERT_EQ(demands.size(), 1u);
  EXPECT_EQ(demands[0].recipe.path, "/jobshop");
}

TEST(Describe, gives_the_names_by_which_a_library_is_looked_up) {
  Hosts h;
  write_at(h.source / "libz.so.1.2.13", "library");
  ASSERT_EQ(::symlink("libz.so.1.2.13", (h.source / "libz.so.1").c_str()), 0);
  ASSERT_EQ(::symlink("elsewhere", (h.source / "other").c_str()), 0);
  const auto demands = h.demands({{"/libz.so.1.2.13", Use::kMapped, ""}});
  ASSERT_EQ(demands.size(), 2u);
  EXPECT_EQ(demands[0].recipe.path, "/libz.so.1");
  EXPECT_TRUE(demands[0].optional);
  write_at(h.destination / "libz.so.1", "another build");
  EXPECT_EQ(h.verdict(demands).presence, (std::vector{Presence::kSame, Presence::kMissing}));
}

TEST(Describe, takes_a_directory_that_the_user_named_with_all_in_it) {
  Hosts h;
  good(sys::make_dirs(h.source / "opt/data/sub"));
  write_at(h.source / "opt/data/sub/f", "f");
  ASSERT_EQ(::symlink("/opt/data", (h.source / "opt/current").c_str()), 0);
  const auto demands = h.demands({{"/opt/current", Use::kWith, "--with"}});
  std::vector<std::string> paths;
  for (const Demand& demand : demands) paths.push_back(demand.recipe.path);
  EXPECT_EQ(paths, (std::vector<std::string>{"/opt/current", "/opt/data", "/opt/data/sub", "/opt/data/sub/f"}));
}

TEST(Describe, names_what_is_gone) {
  Hosts h;
  const std::vector<Needed> needed = {{"/gone", Use::kOpenRead, "fd 3 of pid 7 (cat)"}};
  const auto described = good(describe(h.source_root, needed, {}));
  ASSERT_EQ(described.blockers.size(), 1u);
  EXPECT_EQ(described.blockers[0].code, "file-vanished");
  EXPECT_EQ(described.blockers[0].object, "/gone, fd 3 of pid 7 (cat)");
}

TEST(Match, refuses_a_write_open_file_that_is_not_there) {
  Hosts h;
  write_at(h.source / "log", "x");
  const auto verdict = h.verdict(h.demands({{"/log", Use::kOpenWrite, "fd 1"}}));
  ASSERT_EQ(verdict.blockers.size(), 1u);
  EXPECT_EQ(verdict.blockers[0].code, "file-write-not-shared");
  EXPECT_TRUE(verdict.wanted.empty());
}

TEST(Match, refuses_hostile_demands) {
  Hosts h;
  const std::vector<std::vector<Demand>> hostile = {
      {{.recipe = {.path = "relative"}}},
      {{.recipe = {.path = "/a/../b"}}},
      {{.recipe = {.path = "/b"}}, {.recipe = {.path = "/a"}}},
      {{.recipe = {.path = "/a"}}, {.recipe = {.path = "/a"}}},
      {{.recipe = {.path = "/a"}, .use = static_cast<Use>(99)}},
      {{.recipe = {.path = "/a", .kind = Kind::kWhiteout}}},
      {{.recipe = {.path = "/a", .hard_link_to = "/b"}}},
      {{.recipe = {.path = "/a", .content = {.size = UINT64_MAX, .pieces = {}}}}},
  };
  for (const auto& demands : hostile)
    EXPECT_EQ(match(h.destination_root, demands, h.store, nullptr, {}).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace godwit::files
