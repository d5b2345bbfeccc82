#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "godwit/pod_kinds_files.pb.h"
#include "pod/kinds/fake_context_test.h"

namespace godwit::pod::test {
namespace {

std::string content(int fd) {
  std::string text(4096, '\0');
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  text.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return text;
}

TEST(DeletedKind, carries_bytes_offset_flags_and_mode) {
  ScratchDir dir;
  Fd fd = *sys::open(dir / "x", O_RDWR | O_CREAT | O_APPEND, 0640);
  ASSERT_OK(io::write_full(fd.get(), "hello world"));
  ::lseek(fd.get(), 3, SEEK_SET);
  ASSERT_OK(sys::unlink(dir / "x"));
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  EXPECT_EQ(tree.kind_of(id), "deleted");
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(content(restored.fd(id)), "hello world");
  EXPECT_EQ(::lseek(restored.fd(id), 0, SEEK_CUR), 3);
  EXPECT_EQ(::fcntl(restored.fd(id), F_GETFL), ::fcntl(fd.get(), F_GETFL));
  struct stat was, is;
  ::fstat(fd.get(), &was);
  ::fstat(restored.fd(id), &is);
  EXPECT_EQ(is.st_mode, was.st_mode);
  EXPECT_EQ(is.st_nlink, 0u);
  EXPECT_EQ(is.st_mtim.tv_nsec, was.st_mtim.tv_nsec);
}

// As sqlite3 opens its temporary files.
TEST(DeletedKind, that_was_opened_without_following_links_comes_back) {
  ScratchDir dir;
  Fd fd = *sys::open(dir / "x", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  ASSERT_OK(io::write_full(fd.get(), "pages"));
  ASSERT_OK(sys::unlink(dir / "x"));
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(content(restored.fd(id)), "pages");
  EXPECT_EQ(::fcntl(restored.fd(id), F_GETFL), ::fcntl(fd.get(), F_GETFL) & ~O_NOFOLLOW);
}

TEST(DeletedKind, keeps_two_descriptions_on_one_inode) {
  ScratchDir dir;
  Fd writer = *sys::open(dir / "x", O_WRONLY | O_CREAT);
  Fd reader = *sys::open(dir / "x", O_RDONLY);
  ASSERT_OK(sys::unlink(dir / "x"));
  FakeTree tree;
  const FileId w = tree.add(writer.get()), r = tree.add(reader.get());
  DUMP_AND_RESTORE(tree, restored);
  ASSERT_OK(io::write_full(restored.fd(w), "shared"));
  EXPECT_EQ(content(restored.fd(r)), "shared");
  EXPECT_EQ(::fcntl(restored.fd(r), F_GETFL) & O_ACCMODE, O_RDONLY);
}

TEST(DeletedKind, keeps_a_hole_of_gibibytes_a_hole) {
  ScratchDir dir;
  Fd fd = *sys::open(dir / "x", O_RDWR | O_CREAT);
  ASSERT_OK(sys::unlink(dir / "x"));
  constexpr uint64_t kFar = 3ull << 30;
  ASSERT_OK(io::pwrite_full(fd.get(), std::as_bytes(std::span("end", 3)), kFar));
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  struct stat is;
  ::fstat(restored.fd(id), &is);
  EXPECT_EQ(is.st_size, static_cast<off_t>(kFar + 3));
  EXPECT_LT(is.st_blocks, 1000);
  char end[3];
  ASSERT_EQ(::pread(restored.fd(id), end, 3, static_cast<off_t>(kFar)), 3);
  EXPECT_EQ(std::string(end, 3), "end");
}

TEST(DeletedKind, leaves_a_tmpfile_one_that_can_be_given_a_name) {
  ScratchDir dir;
  Fd fd = *sys::open(dir.path(), O_TMPFILE | O_RDWR);
  ASSERT_OK(io::write_full(fd.get(), "draft"));
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(::fcntl(restored.fd(id), F_GETFL), ::fcntl(fd.get(), F_GETFL));
  const std::string link = "/proc/self/fd/" + std::to_string(restored.fd(id));
  ASSERT_EQ(::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, (dir / "final").c_str(), AT_SYMLINK_FOLLOW), 0)
      << std::strerror(errno);
  EXPECT_EQ(*io::read_file(dir / "final"), "draft");
}

TEST(DeletedKind, finds_the_other_name_of_a_hard_link) {
  ScratchDir dir;
  Fd fd = *sys::open(dir / "x", O_RDWR | O_CREAT);
  ASSERT_EQ(::link((dir / "x").c_str(), (dir / "y").c_str()), 0);
  ASSERT_OK(sys::unlink(dir / "x"));
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(*sys::read_link("/proc/self/fd/" + std::to_string(restored.fd(id))), dir / "y");
}

TEST(DeletedKind, refuses_to_write_a_file_whose_other_name_is_elsewhere) {
  ScratchDir dir, elsewhere;
  Fd fd = *sys::open(dir / "x", O_RDWR | O_CREAT);
  ASSERT_EQ(::link((dir / "x").c_str(), (elsewhere / "y").c_str()), 0);
  ASSERT_OK(sys::unlink(dir / "x"));
  FakeTree tree;
  tree.add(fd.get());
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("deleted-linked"));
}

TEST(DeletedKind, remakes_a_removed_directory) {
  ScratchDir dir;
  ASSERT_OK(sys::make_dirs(dir / "d"));
  Fd fd = *sys::open(dir / "d", O_RDONLY | O_DIRECTORY);
  ::rmdir((dir / "d").c_str());
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  struct stat st;
  ::fstat(restored.fd(id), &st);
  EXPECT_TRUE(S_ISDIR(st.st_mode));
  EXPECT_EQ(::faccessat(restored.fd(id), "x", F_OK, 0), -1);
}

TEST(DeletedKind, refuses_a_size_that_the_image_does_not_have) {
  ScratchDir dir;
  Fd fd = *sys::open(dir / "x", O_RDWR | O_CREAT);
  ASSERT_OK(io::write_full(fd.get(), "hello"));
  ASSERT_OK(sys::unlink(dir / "x"));
  FakeTree tree;
  tree.add(fd.get());
  auto files = tree.dump();
  ASSERT_OK(files);
  pb::DeletedFile state;
  state.ParseFromString((*files)[0].state());
  state.set_size(1ull << 40);
  (*files)[0].set_state(state.SerializeAsString());
  FakeRestore restored(tree);
  const auto done = restored.run(*files);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kCorrupt);
}

TEST(KernelFileKind, opens_files_of_proc_when_the_processes_exist) {
  Fd status = *sys::open("/proc/self/status", O_RDONLY);
  Fd meminfo = *sys::open("/proc/meminfo", O_RDONLY);
  Fd tasks = *sys::open("/proc/self/task", O_RDONLY | O_DIRECTORY);
  FakeTree tree;
  const FileId s = tree.add(status.get());
  tree.add(meminfo.get());
  const FileId t = tree.add(tasks.get());
  EXPECT_EQ(tree.kind_of(s), "kernel-file");
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_TRUE((*dumped_files)[0].late());
  EXPECT_EQ(content(restored.fd(s)).substr(0, 30), content(status.get()).substr(0, 30));
  EXPECT_TRUE(sys::list_dir("/proc/self/fd/" + std::to_string(restored.fd(t))));
}

TEST(KernelFileKind, refuses_a_process_outside_of_the_tree) {
  Fd fd = *sys::open("/proc/1/status", O_RDONLY);
  FakeTree tree;
  tree.add(fd.get());
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("proc-outside"));
}

TEST(PathKind, keeps_what_it_names_and_its_flags) {
  ScratchDir dir;
  ASSERT_EQ(::symlink("nowhere", (dir / "link").c_str()), 0);
  Fd link = *sys::open(dir / "link", O_PATH | O_NOFOLLOW);
  Fd null = *sys::open("/dev/null", O_PATH);
  Fd directory = *sys::open(dir.path(), O_PATH | O_DIRECTORY);
  FakeTree tree;
  std::vector<std::pair<FileId, int>> all;
  for (const Fd* fd : {&link, &null, &directory}) all.emplace_back(tree.add(fd->get()), fd->get());
  EXPECT_EQ(tree.kind_of(all[1].first), "path");
  DUMP_AND_RESTORE(tree, restored);
  for (const auto& [id, fd] : all) {
    struct stat was, is;
    ::fstat(fd, &was);
    ::fstat(restored.fd(id), &is);
    EXPECT_EQ(is.st_ino, was.st_ino);
    EXPECT_EQ(::fcntl(restored.fd(id), F_GETFL), ::fcntl(fd, F_GETFL));
  }
}

TEST(PathKind, of_a_deleted_file_can_still_be_opened) {
  ScratchDir dir;
  ASSERT_OK(io::replace_file(dir / "x", "kept"));
  Fd fd = *sys::open(dir / "x", O_PATH);
  ASSERT_OK(sys::unlink(dir / "x"));
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(*io::read_file("/proc/self/fd/" + std::to_string(restored.fd(id))), "kept");
  EXPECT_EQ(::fcntl(restored.fd(id), F_GETFL), ::fcntl(fd.get(), F_GETFL));
}

TEST(MemfdKind, keeps_name_bytes_and_seals) {
  Fd fd(::memfd_create("frames", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_OK(io::write_full(fd.get(), "abc"));
  ASSERT_EQ(::ftruncate(fd.get(), 5 << 20), 0);
  ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
  Fd reader = *sys::open("/proc/self/fd/" + std::to_string(fd.get()), O_RDONLY);
  FakeTree tree;
  const FileId id = tree.add(fd.get()), r = tree.add(reader.get());
  EXPECT_EQ(tree.kind_of(id), "memfd");
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(content(restored.fd(id)).substr(0, 3), "abc");
  EXPECT_EQ(::fcntl(restored.fd(id), F_GET_SEALS), ::fcntl(fd.get(), F_GET_SEALS));
  EXPECT_EQ(*sys::read_link("/proc/self/fd/" + std::to_string(restored.fd(id))), "/memfd:frames (deleted)");
  EXPECT_EQ(::fcntl(restored.fd(id), F_GETFL), ::fcntl(fd.get(), F_GETFL));
  EXPECT_EQ(content(restored.fd(r)).substr(0, 3), "abc");
  EXPECT_LT(::write(restored.fd(r), "x", 1), 0);
}

TEST(MemfdKind, stays_unsealable) {
  Fd fd(::memfd_create("plain", MFD_CLOEXEC));
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(::fcntl(restored.fd(id), F_ADD_SEALS, F_SEAL_GROW), -1);
  EXPECT_EQ(errno, EPERM);
}

TEST(Unsupported, is_refused_by_name) {
  ScratchDir dir;
  Fd ns = *sys::open("/proc/self/ns/uts", O_RDONLY);
  FakeTree tree;
  tree.add(ns.get());
  Fd ring(static_cast<int>(::syscall(SYS_io_uring_setup, 1, std::vector<std::byte>(256).data())));
  if (ring.valid()) tree.add(ring.get());
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("namespace-file"));
  EXPECT_EQ(tree.refused("io-uring"), ring.valid());
}

}  // namespace
}  // namespace godwit::pod::test
