#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "godwit/pod_kinds_locks.pb.h"
#include "pod/kinds/fake_context_test.h"

namespace godwit::pod::test {
namespace {

const SectionKind& locks() {
  for (const SectionKind* kind : section_kinds()) {
    if (kind->name == "locks") return *kind;
  }
  std::abort();
}

class Locks : public ::testing::Test {
 protected:
  ScratchDir dir;
  Fd fd = *sys::open(dir / "x", O_RDWR | O_CREAT);
  FakeTree tree;
  FileId id = tree.add(fd.get());
};

TEST_F(Locks, flock_follows_its_description) {
  ASSERT_EQ(::flock(fd.get(), LOCK_EX), 0);
  const auto files = tree.dump();
  ASSERT_OK(files);
  ::flock(fd.get(), LOCK_UN);
  FakeRestore restored(tree);
  ASSERT_OK(restored.run(*files));
  EXPECT_EQ(::flock(fd.get(), LOCK_SH | LOCK_NB), -1);
  ::flock(restored.fd(id), LOCK_UN);
  EXPECT_EQ(::flock(fd.get(), LOCK_SH | LOCK_NB), 0);
}

TEST_F(Locks, open_file_description_locks_keep_their_ranges) {
  struct flock range{};
  range.l_type = F_WRLCK;
  range.l_start = 10;
  range.l_len = 5;
  ASSERT_EQ(::fcntl(fd.get(), F_OFD_SETLK, &range), 0);
  const auto files = tree.dump();
  ASSERT_OK(files);
  range.l_type = F_UNLCK;
  ASSERT_EQ(::fcntl(fd.get(), F_OFD_SETLK, &range), 0);
  FakeRestore restored(tree);
  ASSERT_OK(restored.run(*files));
  for (const auto& [start, held] : {std::pair{9, false}, {10, true}, {14, true}, {15, false}}) {
    struct flock probe{};
    probe.l_type = F_RDLCK;
    probe.l_start = start;
    probe.l_len = 1;
    ASSERT_EQ(::fcntl(fd.get(), F_OFD_GETLK, &probe), 0);
    EXPECT_EQ(probe.l_type != F_UNLCK, held) << start;
  }
}

TEST_F(Locks, posix_locks_are_taken_once_and_by_a_descriptor_that_took_them) {
  Fd reader = *sys::open(dir / "x", O_RDONLY);
  FakeTree both;
  both.add(reader.get());  // of the same file
  both.add(fd.get());
  both.add(fd.get(), 700);  // a duplicate
  struct flock range{};
  range.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(fd.get(), F_SETLK, &range), 0);
  const auto bytes = locks().dump(both);
  ASSERT_OK(bytes);
  EXPECT_TRUE(both.blockers.empty());
  pb::FileLocks state;
  ASSERT_TRUE(state.ParseFromString(*bytes));
  ASSERT_EQ(state.locks_size(), 1);
  EXPECT_EQ(state.locks(0).fd(), fd.get());
  EXPECT_EQ(state.locks(0).pid(), ::getpid());
  range.l_type = F_UNLCK;
  ASSERT_EQ(::fcntl(fd.get(), F_SETLK, &range), 0);
  FakeRestore restored(both);
  ASSERT_OK(locks().activate(restored, *bytes));
  struct flock probe{};
  probe.l_type = F_WRLCK;
  Fd other = *sys::open(dir / "x", O_RDWR);
  ASSERT_EQ(::fcntl(other.get(), F_OFD_GETLK, &probe), 0);
  EXPECT_EQ(probe.l_type, F_WRLCK);
  EXPECT_EQ(probe.l_pid, ::getpid());
}

TEST_F(Locks, leases_are_taken_by_the_process) {
  ASSERT_OK(io::replace_file(dir / "leased", "x"));
  Fd reader = *sys::open(dir / "leased", O_RDONLY);
  if (::fcntl(reader.get(), F_SETLEASE, F_RDLCK) != 0) GTEST_SKIP() << "no leases on this file system";
  FakeTree one;
  one.add(reader.get());
  const auto bytes = locks().dump(one);
  ASSERT_OK(bytes);
  ::fcntl(reader.get(), F_SETLEASE, F_UNLCK);
  FakeRestore restored(one);
  ASSERT_OK(locks().activate(restored, *bytes));
  EXPECT_EQ(::fcntl(reader.get(), F_GETLEASE), F_RDLCK);
  ::fcntl(reader.get(), F_SETLEASE, F_UNLCK);
}

TEST_F(Locks, there_is_no_state_without_locks) {
  const auto bytes = locks().dump(tree);
  ASSERT_OK(bytes);
  EXPECT_TRUE(bytes->empty());
}

}  // namespace
}  // namespace godwit::pod::test
