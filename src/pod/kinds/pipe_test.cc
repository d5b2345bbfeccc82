#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pod/kinds/fake_context_test.h"

namespace godwit::pod::test {
namespace {

std::string read_once(int fd, size_t most = 1 << 20) {
  std::string text(most, '\0');
  const ssize_t n = ::read(fd, text.data(), most);
  text.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return text;
}
int unread(int fd) {
  int n = -1;
  ::ioctl(fd, FIONREAD, &n);
  return n;
}
short events(int fd) {
  pollfd p{fd, POLLIN | POLLOUT, 0};
  ::poll(&p, 1, 0);
  return p.revents;
}

TEST(PipeKind, keeps_unread_bytes_in_order_and_does_not_take_them) {
  auto [r, w] = *sys::pipe();
  ASSERT_OK(io::write_full(w.get(), "first "));
  ASSERT_OK(io::write_full(w.get(), "second"));
  FakeTree tree;
  const FileId ri = tree.add(r.get()), wi = tree.add(w.get());
  EXPECT_EQ(tree.kind_of(ri), "pipe");
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(unread(r.get()), 12);
  ASSERT_OK(io::write_full(restored.fd(wi), "!"));
  EXPECT_EQ(read_once(restored.fd(ri)), "first second!");
  EXPECT_EQ(read_once(r.get()), "first second");
  EXPECT_EQ(::fcntl(restored.fd(ri), F_GETFL), ::fcntl(r.get(), F_GETFL));
  EXPECT_EQ(::fcntl(restored.fd(wi), F_GETFL), ::fcntl(w.get(), F_GETFL));
}

TEST(PipeKind, gives_end_of_file_when_the_last_writer_goes) {
  auto [r, w] = *sys::pipe();
  FakeTree tree;
  const FileId ri = tree.add(r.get()), wi = tree.add(w.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(events(restored.fd(ri)), 0);
  restored.close(wi);
  EXPECT_EQ(events(restored.fd(ri)), POLLHUP);
}

TEST(PipeKind, keeps_a_pipe_that_only_its_reader_holds) {
  auto [r, w] = *sys::pipe();
  ASSERT_OK(io::write_full(w.get(), "last words"));
  w.reset();
  FakeTree tree;
  const FileId ri = tree.add(r.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(read_once(restored.fd(ri)), "last words");
  EXPECT_EQ(events(restored.fd(ri)), POLLHUP);
}

TEST(PipeKind, keeps_a_pipe_that_only_its_writer_holds) {
  auto [r, w] = *sys::pipe();
  ASSERT_OK(io::write_full(w.get(), "unheard"));
  r.reset();
  FakeTree tree;
  const FileId wi = tree.add(w.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(unread(restored.fd(wi)), 7);
  EXPECT_EQ(events(restored.fd(wi)) & POLLERR, POLLERR);
}

TEST(PipeKind, keeps_packets_apart) {
  auto [r, w] = *sys::pipe(O_DIRECT | O_NONBLOCK);
  for (const char* packet : {"one", "three", "5"}) ASSERT_OK(io::write_full(w.get(), packet));
  FakeTree tree;
  const FileId ri = tree.add(r.get()), wi = tree.add(w.get());
  DUMP_AND_RESTORE(tree, restored);
  for (const char* packet : {"one", "three", "5"}) EXPECT_EQ(read_once(restored.fd(ri)), packet);
  EXPECT_EQ(::fcntl(restored.fd(wi), F_GETFL), ::fcntl(w.get(), F_GETFL));
}

TEST(PipeKind, keeps_packets_whose_writer_went_on_in_stream_mode) {
  auto [r, w] = *sys::pipe(O_DIRECT);
  ASSERT_OK(io::write_full(w.get(), "packet"));
  ASSERT_EQ(::fcntl(w.get(), F_SETFL, 0), 0);
  ASSERT_OK(io::write_full(w.get(), "str"));
  ASSERT_OK(io::write_full(w.get(), "eam"));
  FakeTree tree;
  const FileId ri = tree.add(r.get());
  tree.add(w.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(read_once(restored.fd(ri)), "packet");
  EXPECT_EQ(read_once(restored.fd(ri)), "stream");
}

TEST(PipeKind, keeps_a_full_pipe_of_another_size) {
  auto [r, w] = *sys::pipe(O_NONBLOCK);
  const int capacity = ::fcntl(w.get(), F_SETPIPE_SZ, 256 << 10);
  std::string bytes(static_cast<size_t>(capacity), 'x');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  ASSERT_OK(io::write_full(w.get(), bytes));
  FakeTree tree;
  const FileId ri = tree.add(r.get()), wi = tree.add(w.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(::fcntl(restored.fd(wi), F_GETPIPE_SZ), capacity);
  EXPECT_EQ(events(restored.fd(wi)) & POLLOUT, 0);
  EXPECT_TRUE(read_once(restored.fd(ri)) == bytes);
}

TEST(PipeKind, opens_further_descriptions_of_an_end) {
  auto [r, w] = *sys::pipe();
  Fd again = *sys::open("/proc/self/fd/" + std::to_string(w.get()), O_WRONLY | O_NONBLOCK);
  FakeTree tree;
  const FileId ai = tree.add(again.get()), wi = tree.add(w.get()), ri = tree.add(r.get());
  DUMP_AND_RESTORE(tree, restored);
  ASSERT_OK(io::write_full(restored.fd(ai), "a"));
  ASSERT_OK(io::write_full(restored.fd(wi), "w"));
  EXPECT_EQ(read_once(restored.fd(ri)), "aw");
  EXPECT_EQ(::fcntl(restored.fd(ai), F_GETFL), ::fcntl(again.get(), F_GETFL));
  restored.close(ai);
  EXPECT_EQ(events(restored.fd(ri)), 0);
  restored.close(wi);
  EXPECT_EQ(events(restored.fd(ri)), POLLHUP);
}

TEST(PipeKind, refuses_an_end_outside_of_the_tree) {
  auto [r, w] = *sys::pipe();
  for (const Fd* end : {&r, &w}) {
    FakeTree tree;
    tree.add(end->get());
    ASSERT_OK(tree.dump());
    EXPECT_TRUE(tree.refused("pipe-outside"));
  }
}

TEST(PipeKind, takes_the_callers_stream_in_place_of_one_that_leads_out) {
  auto [r, w] = *sys::pipe();
  auto [r2, w2] = *sys::pipe();
  FakeTree tree;
  tree.allow_inherit = true;
  const FileId id = tree.add(w.get(), 1);
  const auto files = tree.dump();
  ASSERT_OK(files);
  ASSERT_TRUE(tree.blockers.empty());
  FakeRestore restored(tree);
  EXPECT_EQ(restored.run(*files).error().code, Code::kRefused);
  restored.streams[1] = w2.get();
  ASSERT_OK(restored.run(*files));
  ASSERT_OK(io::write_full(restored.fd(id), "out"));
  EXPECT_EQ(read_once(r2.get()), "out");
}

TEST(PipeKind, refuses_to_lose_bytes_of_a_stream_that_leads_in) {
  auto [r, w] = *sys::pipe();
  ASSERT_OK(io::write_full(w.get(), "unread"));
  FakeTree tree;
  tree.allow_inherit = true;
  tree.add(r.get(), 0);
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("pipe-outside"));
}

TEST(FifoKind, gets_a_pipe_of_its_own_beside_the_frozen_source) {
  ScratchDir dir;
  ASSERT_EQ(::mkfifo((dir / "f").c_str(), 0640), 0);
  Fd both = *sys::open(dir / "f", O_RDWR | O_NONBLOCK);
  Fd reader = *sys::open(dir / "f", O_RDONLY);
  Fd writer = *sys::open(dir / "f", O_WRONLY);
  both.reset();
  ASSERT_OK(io::write_full(writer.get(), "queued"));
  FakeTree tree;
  const FileId ri = tree.add(reader.get()), wi = tree.add(writer.get());
  EXPECT_EQ(tree.kind_of(ri), "fifo");
  DUMP_AND_RESTORE(tree, restored);
  ASSERT_OK(io::write_full(restored.fd(wi), "+new"));
  EXPECT_EQ(unread(reader.get()), 6);  // the source's pipe is another one
  EXPECT_EQ(read_once(restored.fd(ri)), "queued+new");
  EXPECT_EQ(::fcntl(restored.fd(ri), F_GETFL), ::fcntl(reader.get(), F_GETFL));
  Fd newcomer = *sys::open(dir / "f", O_WRONLY | O_NONBLOCK);  // the name leads to the copy
  ASSERT_OK(io::write_full(newcomer.get(), "hi"));
  EXPECT_EQ(read_once(restored.fd(ri)), "hi");
  EXPECT_EQ(sys::list_dir(dir.path())->size(), 1u);
}

TEST(FifoKind, is_made_where_it_is_missing) {
  ScratchDir dir;
  ASSERT_EQ(::mkfifo((dir / "f").c_str(), 0640), 0);
  Fd reader = *sys::open(dir / "f", O_RDONLY | O_NONBLOCK);
  Fd writer = *sys::open(dir / "f", O_WRONLY);
  FakeTree tree;
  const FileId ri = tree.add(reader.get()), wi = tree.add(writer.get());
  const auto files = tree.dump();
  ASSERT_OK(files);
  ASSERT_OK(sys::unlink(dir / "f"));
  FakeRestore restored(tree);
  ASSERT_OK(restored.run(*files));
  ASSERT_OK(io::write_full(restored.fd(wi), "x"));
  EXPECT_EQ(read_once(restored.fd(ri)), "x");
  EXPECT_EQ(sys::stat(dir / "f")->st_mode & 0777, 0640u);
}

// Two restores on one machine make theirs in the same directory.
TEST(FifoKind, without_a_name_is_made_beside_those_of_others) {
  ScratchDir dir;
  ASSERT_EQ(::mkfifo((dir / "f").c_str(), 0640), 0);
  Fd reader = *sys::open(dir / "f", O_RDONLY | O_NONBLOCK);
  Fd writer = *sys::open(dir / "f", O_WRONLY);
  ASSERT_OK(sys::unlink(dir / "f"));
  FakeTree tree;
  const FileId ri = tree.add(reader.get()), wi = tree.add(writer.get());
  const auto files = tree.dump();
  ASSERT_OK(files);
  FakeRestore restored(tree);
  for (const FileId id : {ri, wi})
    ASSERT_EQ(::mkfifo((restored.scratch_dir() + "/fifo-" + std::to_string(id)).c_str(), 0600), 0);
  ASSERT_OK(restored.run(*files));
  ASSERT_OK(io::write_full(restored.fd(wi), "x"));
  EXPECT_EQ(read_once(restored.fd(ri)), "x");
}

TEST(FifoKind, knows_a_reader_that_never_had_a_writer_from_one_that_lost_it) {
  ScratchDir dir;
  for (const char* name : {"a", "b"}) ASSERT_EQ(::mkfifo((dir / name).c_str(), 0600), 0);
  Fd fresh = *sys::open(dir / "a", O_RDONLY | O_NONBLOCK);
  Fd left = *sys::open(dir / "b", O_RDONLY | O_NONBLOCK);
  {
    Fd writer = *sys::open(dir / "b", O_WRONLY);
  }
  ASSERT_EQ(events(fresh.get()), 0);
  ASSERT_EQ(events(left.get()), POLLHUP);
  FakeTree tree;
  const FileId fi = tree.add(fresh.get()), li = tree.add(left.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(events(restored.fd(fi)), 0);
  EXPECT_EQ(events(restored.fd(li)), POLLHUP);
}

TEST(FifoKind, refuses_a_writer_outside_of_the_tree) {
  ScratchDir dir;
  ASSERT_EQ(::mkfifo((dir / "f").c_str(), 0600), 0);
  Fd reader = *sys::open(dir / "f", O_RDONLY | O_NONBLOCK);
  Fd writer = *sys::open(dir / "f", O_WRONLY);
  FakeTree tree;
  tree.add(reader.get());
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("fifo-outside"));
}

}  // namespace
}  // namespace godwit::pod::test
