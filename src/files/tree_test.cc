#include "files/tree.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "files/beneath.h"
#include "files/testing.h"

namespace godwit::files {
namespace {

using testing::good;
using testing::Random;
using testing::slurp;
using testing::TemporaryDir;
using testing::write_at;

// The transport in one line: every chunk that is missing there is read here.
void carry(const std::vector<ChunkWant>& wanted, const ChunkSource& from, ChunkDir& to) {
  for (const ChunkWant& want : wanted) {
    std::vector<std::byte> data(want.length);
    good(from.read(want.id, data));
    good(to.put(want.id, data));
  }
}

struct Pair {
  TemporaryDir source;
  TemporaryDir destination;
  TemporaryDir store_dir;
  ChunkDir store = good(ChunkDir::open(store_dir / "chunks"));
  Fd source_fd = source.fd();
  Fd destination_fd = destination.fd();
  Snapshot there = good(take(destination_fd, {}));
  size_t carried = 0;

  // One round: snapshot here, carry, apply there, and look that both are equal.
  Snapshot round(const Snapshot* previous, const ApplyOptions& options = {}) {
    SnapshotOptions taking;
    taking.previous = previous;
    Snapshot now = good(take(source_fd, taking));
    const auto wanted = missing_chunks(now.tree, there, store);
    carried = wanted.size();
    carry(wanted, good(tree_chunks(source_fd, now)), store);
    there = good(apply(destination_fd, now.tree, there, store, options));
    EXPECT_EQ(good(take(destination_fd, {})).tree, now.tree);
    return now;
  }
};

TEST(PathOrder, puts_a_directory_before_what_is_in_it_and_keeps_that_together) {
  EXPECT_TRUE(path_less("", "a"));
  EXPECT_TRUE(path_less("a", "a/b"));
  EXPECT_TRUE(path_less("a/b", "a-b"));  // '-' is before '/' in ASCII
  EXPECT_FALSE(path_less("a-b", "a/b"));
  EXPECT_FALSE(path_less("a", "a"));
}

TEST(Tree, carries_every_kind_of_object_with_its_metadata) {
  Pair p;
  ASSERT_EQ(::mkdir((p.source / "dir").c_str(), 0750), 0);
  write_at(p.source / "dir/file", "hello");
  write_at(p.source / "dir/empty", "");
  ASSERT_EQ(::chmod((p.source / "dir/file").c_str(), 04711), 0);
  ASSERT_EQ(::symlink("../nowhere", (p.source / "dir/link").c_str()), 0);
  ASSERT_EQ(::mkfifo((p.source / "pipe").c_str(), 0620), 0);
  ASSERT_EQ(::link((p.source / "dir/file").c_str(), (p.source / "dir/second").c_str()), 0);
  ASSERT_EQ(::setxattr((p.source / "dir/file").c_str(), "user.note", "value", 5, 0), 0);
  const timespec old[2] = {{1, 2}, {-5, 999'999'999}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (p.source / "dir/link").c_str(), old, AT_SYMLINK_NOFOLLOW), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, (p.source / "dir").c_str(), old, 0), 0);
  const Snapshot now = p.round(nullptr);
  EXPECT_EQ(now.tree.entries.size(), 7u);
  EXPECT_EQ(slurp(p.destination / "dir/second"), "hello");
  EXPECT_EQ(good(sys::stat(p.destination / "dir/file")).st_nlink, 2u);
  EXPECT_EQ(good(sys::stat(p.destination / "dir/file")).st_mode & 07777u, 04711u);
  EXPECT_EQ(now.tree.find("dir/file")->attributes.size(), 1u);
  EXPECT_EQ(now.tree.find("dir/second")->hard_link_to, "dir/file");
  EXPECT_FALSE(
      std::ranges::any_of(good(sys::list_dir(p.destination.path())), [](auto& n) { return n == kStagingName; }));
}

TEST(Tree, keeps_holes) {
  Pair p;
  write_at(p.source / "sparse", "x", 300u << 20);
  (void)p.round(nullptr);
  EXPECT_EQ(p.carried, 1u);
  const auto st = good(sys::stat(p.destination / "sparse"));
  EXPECT_EQ(st.st_size, (300 << 20) + 1);
  EXPECT_LT(st.st_blocks, 64);
}

TEST(Tree, leaves_out_sockets_and_says_so) {
  TemporaryDir dir;
  const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{AF_UNIX, {}};
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s/s", dir.path().c_str());
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const Snapshot now = good(take(dir.fd(), {}));
  ASSERT_EQ(now.left_out.size(), 1u);
  EXPECT_EQ(now.left_out[0], "s: is a socket");
}

TEST(Tree, sends_only_the_changed_chunks_of_a_large_file) {
  Random random;
  for (const bool private_directory : {false, true}) {
    Pair p;
    write_at(p.source / "big", random.bytes(12 * kChunkSize));
    Snapshot first = p.round(nullptr);
    EXPECT_EQ(p.carried, 12u);
    write_at(p.source / "big", "a small change", 5 * kChunkSize + 17);
    ApplyOptions options;
    options.private_directory = private_directory;
    const ino_t inode = good(sys::stat(p.destination / "big")).st_ino;
    Snapshot second = p.round(&first, options);
    EXPECT_EQ(p.carried, 1u);
    EXPECT_EQ(good(sys::stat(p.destination / "big")).st_ino == inode, private_directory);
    ASSERT_EQ(::truncate((p.source / "big").c_str(), 7 * kChunkSize + 100), 0);
    Snapshot third = p.round(&second, options);
    write_at(p.source / "big", "grown", 40 * kChunkSize);
    (void)p.round(&third, options);
    EXPECT_EQ(slurp(p.source / "big"), slurp(p.destination / "big"));
  }
}

TEST(Tree, reads_no_file_again_whose_stamp_is_settled) {
  TemporaryDir dir("/var/tmp");  // on a tmpfs, as /tmp may be, no stamp ever is
  for (int i = 0; i < 20; ++i) write_at(dir / ("f" + std::to_string(i)), std::to_string(i));
  testing::wait_until_settled(dir / "f19");
  const Fd fd = dir.fd();
  const Snapshot first = good(take(fd, {}));
  EXPECT_EQ(first.files_read, 20u);
  write_at(dir / "f7", "changed");
  SnapshotOptions again;
  again.previous = &first;
  EXPECT_EQ(good(take(fd, again)).files_read, 1u);
  const auto st = good(sys::stat(dir / "f3"));
  again.always_read.insert({st.st_dev, st.st_ino});
  EXPECT_EQ(good(take(fd, again)).files_read, 2u);
}

// Who had a page mapped writable when we looked may write to it after, and unmap it, and no time tells.
TEST(Tree, reads_a_file_again_that_was_mapped_at_the_last_look) {
  TemporaryDir dir("/var/tmp");
  for (const char* name : {"mapped", "plain"}) write_at(dir / name, "x");
  testing::wait_until_settled(dir / "plain");
  const Fd fd = dir.fd();
  SnapshotOptions options;
  const auto st = good(sys::stat(dir / "mapped"));
  options.always_read.insert({st.st_dev, st.st_ino});
  const Snapshot first = good(take(fd, options));
  SnapshotOptions again;
  again.previous = &first;
  EXPECT_EQ(good(take(fd, again)).files_read, 1u);
}

TEST(Tree, notices_a_change_that_keeps_size_and_mtime) {
  TemporaryDir dir;
  const Fd fd = dir.fd();
  write_at(dir / "f", "aaaa");
  const auto st = good(sys::stat(dir / "f"));
  const Snapshot first = good(take(fd, {}));
  write_at(dir / "f", "bbbb");
  const timespec times[2] = {st.st_atim, st.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, (dir / "f").c_str(), times, 0), 0);
  SnapshotOptions again;
  again.previous = &first;
  EXPECT_NE(good(take(fd, again)).tree, first.tree);
}

TEST(Tree, looks_at_one_file_only_when_asked_to) {
  Pair p;
  write_at(p.source / "out.log", "line 1\n");
  write_at(p.source / "other", "no");
  write_at(p.destination / "mine", "stays");
  SnapshotOptions taking;
  taking.only = "out.log";
  const Snapshot now = good(take(p.source_fd, taking));
  EXPECT_EQ(now.tree.entries.size(), 2u);
  carry(missing_chunks(now.tree, Snapshot{}, p.store), good(tree_chunks(p.source_fd, now)), p.store);
  ApplyOptions options;
  options.only = "out.log";
  const mode_t mode = good(sys::stat(p.destination.path())).st_mode;
  ASSERT_EQ(::chmod(p.source.path().c_str(), 0711), 0);
  good(apply(p.destination_fd, now.tree, Snapshot{}, p.store, options));
  EXPECT_EQ(slurp(p.destination / "out.log"), "line 1\n");
  EXPECT_EQ(slurp(p.destination / "mine"), "stays");
  EXPECT_EQ(good(sys::stat(p.destination.path())).st_mode, mode);
}

TEST(Tree, carries_paths_longer_than_the_kernel_takes_at_once) {
  Pair p;
  const std::string name(200, 'd');
  Fd at = p.source.fd();
  std::string path;
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0755), 0);
    at = good(sys::open_at(at, name, O_RDONLY | O_DIRECTORY));
    path = join(path, name);
  }
  const Fd file = good(sys::open_at(at, "file", O_WRONLY | O_CREAT));
  good(io::write_full(file.get(), "deep"));
  EXPECT_GT(path.size(), 4096u);
  const Snapshot first = p.round(nullptr);
  EXPECT_NE(p.there.tree.find(join(path, "file")), nullptr);
  good(sys::remove_tree(p.source / name));
  (void)p.round(&first);
  EXPECT_TRUE(good(sys::list_dir(p.destination.path())).empty());
}

TEST(Apply, follows_random_changes_of_everything) {
  Random random;
  for (const bool private_directory : {false, true}) {
    Pair p;
    ApplyOptions options;
    options.private_directory = private_directory;
    Snapshot last = p.round(nullptr, options);
    const auto name = [&] {
      std::string path = p.source.path();
      for (uint64_t depth = random.below(3); depth > 0; --depth) path += "/d" + std::to_string(random.below(3));
      return path + "/n" + std::to_string(random.below(6));
    };
    for (int round = 0; round < 12; ++round) {
      for (int step = 0; step < 15; ++step) {
        const std::string a = name();
        const std::string b = name();
        switch (random.below(10)) {
          case 0: (void)sys::make_dirs(a); break;
          case 1: (void)sys::remove_tree(a); break;
          case 2: (void)::symlink("target", a.c_str()); break;
          case 3: (void)::link(a.c_str(), b.c_str()); break;
          case 4: (void)::rename(a.c_str(), b.c_str()); break;
          case 5: (void)::chmod(a.c_str(), 0700 | static_cast<mode_t>(random.below(0100))); break;
          case 6: (void)::truncate(a.c_str(), static_cast<off_t>(random.below(6 * kChunkSize))); break;
          default: {
            if (random.below(3) == 0) (void)sys::make_dirs(a.substr(0, a.rfind('/')));
            auto file = sys::open(a, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK);
            if (file) {
              const auto data = random.bytes(1 + random.below(random.below(4) == 0 ? 5 * kChunkSize : 9000));
              (void)io::pwrite_full(file->get(), std::as_bytes(std::span(data)), random.below(2 * kChunkSize));
            }
          }
        }
      }
      last = p.round(&last, options);
      if (HasFailure()) return;
    }
  }
}

TEST(Apply, touches_nothing_when_a_chunk_is_missing) {
  Pair p;
  write_at(p.source / "new", "content that was not carried");
  write_at(p.destination / "old", "old");
  const Snapshot now = good(take(p.source_fd, {}));
  const auto failed = apply(p.destination_fd, now.tree, Snapshot{}, p.store, {});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, Code::kNotFound);
  EXPECT_EQ(slurp(p.destination / "old"), "old");
}

TEST(Apply, does_not_follow_a_symbolic_link_that_lies_in_the_way) {
  Pair p;
  TemporaryDir outside;
  ASSERT_EQ(::mkdir((p.source / "dir").c_str(), 0755), 0);
  write_at(p.source / "dir/file", "inside");
  ASSERT_EQ(::symlink(outside.path().c_str(), (p.destination / "dir").c_str()), 0);
  ASSERT_EQ(::symlink(outside.path().c_str(), (p.destination / std::string(kStagingName)).c_str()), 0);
  write_at(outside / "file", "outside");
  // Believing that the directory is empty, it meets the link unprepared.
  const Snapshot now = good(take(p.source_fd, {}));
  carry(missing_chunks(now.tree, p.there, p.store), good(tree_chunks(p.source_fd, now)), p.store);
  ApplyOptions blind;
  blind.private_directory = true;
  EXPECT_FALSE(apply(p.destination_fd, now.tree, p.there, p.store, blind));
  EXPECT_EQ(slurp(outside / "file"), "outside");
  // Looking, it replaces the link by the directory.
  good(apply(p.destination_fd, now.tree, p.there, p.store, {}));
  EXPECT_EQ(slurp(outside / "file"), "outside");
  EXPECT_EQ(slurp(p.destination / "dir/file"), "inside");
  EXPECT_TRUE(S_ISDIR(good(sys::lstat(p.destination / "dir")).st_mode));
}

Tree tree_with(Recipe entry) {
  Tree tree;
  tree.entries.push_back({.path = "", .kind = Kind::kDirectory, .mode = 0755});
  tree.entries.push_back({.path = "dir", .kind = Kind::kDirectory, .mode = 0755});
  tree.entries.push_back({.path = "dir/file", .kind = Kind::kRegular, .mode = 0644});
  tree.entries.push_back({.path = "link", .kind = Kind::kSymlink, .mode = 0777, .target = "/etc"});
  tree.entries.push_back(std::move(entry));
  std::ranges::sort(tree.entries, path_less, &Recipe::path);
  return tree;
}

TEST(CheckTree, refuses_every_hostile_entry) {
  EXPECT_TRUE(check_tree(tree_with({.path = "dir/other", .mode = 0644})));
  const std::vector<Recipe> hostile = {
      {.path = "../escape"},
      {.path = "/etc/passwd"},
      {.path = "dir/../../escape"},
      {.path = "dir/./x"},
      {.path = "dir//x"},
      {.path = "dir/"},
      {.path = std::string("nul\0x", 5)},
      {.path = std::string(300, 'n')},
      {.path = std::string(70000, 'n')},
      {.path = "link/passwd"},
      {.path = "dir/file/x"},
      {.path = "nowhere/x"},
      {.path = "dir/file"},
      {.path = ".godwit-apply", .kind = Kind::kDirectory},
      {.path = "x", .kind = static_cast<Kind>(9)},
      {.path = "x", .mode = 0100644},
      {.path = "x", .content = {.size = UINT64_MAX, .pieces = {}}},
      {.path = "x", .content = {.size = 5, .pieces = {{1, {}}}}},
      {.path = "x", .content = {.size = kChunkSize, .pieces = {{0, {}}, {0, {}}}}},
      {.path = "x", .kind = Kind::kSymlink},
      {.path = "x", .kind = Kind::kSymlink, .target = std::string("a\0b", 3)},
      {.path = "x", .kind = Kind::kSymlink, .target = std::string(5000, 't')},
      {.path = "x", .kind = Kind::kDirectory, .content = {.size = 4, .pieces = {}}},
      {.path = "x", .target = "t"},
      {.path = "x", .hard_link_to = "dir"},
      {.path = "x", .hard_link_to = "zzz"},
      {.path = "x", .hard_link_to = "x"},
      {.path = "x", .hard_link_to = "../../etc/shadow"},
      {.path = "x", .content = {.size = 1, .pieces = {}}, .hard_link_to = "dir/file"},
      {.path = "x", .attributes = {{"trusted.overlay.redirect", "/etc"}}},
      {.path = "x", .attributes = {{"security.selinux", "x"}}},
      {.path = "x", .attributes = {{"user.b", ""}, {"user.a", ""}}},
      {.path = "x", .attributes = {{"user.a", std::string(70000, 'v')}}},
  };
  for (const Recipe& entry : hostile) {
    const auto verdict = check_tree(tree_with(entry));
    ASSERT_FALSE(verdict) << entry.path.substr(0, 40) << " " << static_cast<int>(entry.kind);
    EXPECT_EQ(verdict.error().code, Code::kCorrupt);
  }
  EXPECT_FALSE(check_tree({}));
}

TEST(Delta, leads_from_one_tree_to_the_other_and_fits_no_third) {
  Random random;
  const auto random_tree = [&] {
    Tree tree;
    tree.entries.push_back({.path = "", .kind = Kind::kDirectory});
    for (char c = 'a'; c < 'i'; ++c)
      if (random.below(2) == 0)
        tree.entries.push_back({.path = std::string(1, c), .mode = static_cast<uint32_t>(random.below(3))});
    return tree;
  };
  for (int i = 0; i < 200; ++i) {
    const Tree from = random_tree();
    const Tree to = random_tree();
    const TreeDelta delta = make_delta(from, to);
    EXPECT_EQ(good(patch(from, delta)), to);
    EXPECT_EQ(patch(to, delta).has_value(), delta.removed.empty());
  }
  EXPECT_FALSE(patch(random_tree(), {.removed = {""}, .changed = {}}));
  EXPECT_FALSE(patch(random_tree(), {.removed = {}, .changed = {{.path = "z/z"}}}));
}

TEST(FileChunks, notice_that_the_file_changed_meanwhile) {
  TemporaryDir dir;
  write_at(dir / "f", "before");
  const Fd fd = dir.fd();
  const Snapshot now = good(take(fd, {}));
  const FileChunks chunks = good(tree_chunks(fd, now));
  const ChunkId id = now.tree.find("f")->content.pieces.at(0).id;
  std::vector<std::byte> out(6);
  good(chunks.read(id, out));
  write_at(dir / "f", "after!");
  EXPECT_EQ(chunks.read(id, out).error().code, Code::kGone);
  EXPECT_EQ(chunks.read(ChunkId{}, out).error().code, Code::kNotFound);
}

TEST(Tree, taken_while_a_program_changes_it_is_never_an_error) {
  TemporaryDir dir;
  std::atomic<bool> stop{false};
  std::jthread busy([&] {
    for (unsigned i = 0; !stop; ++i) {
      const std::string a = dir / ("f" + std::to_string(i % 7));
      const std::string b = dir / ("g" + std::to_string(i % 5));
      if (i % 11 == 0) (void)sys::remove_tree(b);
      if (i % 13 == 0) (void)::mkdir(b.c_str(), 0755);
      auto file = sys::open(a, O_WRONLY | O_CREAT);
      if (file) (void)io::write_full(file->get(), std::string(i % 5000, 'x'));
      (void)::rename(a.c_str(), b.c_str());
      (void)::symlink("x", a.c_str());
      if (i % 3 == 0) (void)::unlink(a.c_str());
    }
  });
  const Fd fd = dir.fd();
  Snapshot last;
  for (int i = 0; i < 50; ++i) {
    SnapshotOptions again;
    again.previous = &last;
    last = good(take(fd, again));
    good(check_tree(last.tree));
  }
  stop = true;
}

}  // namespace
}  // namespace godwit::files
