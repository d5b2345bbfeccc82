#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "pod/kinds/fake_context_test.h"

namespace godwit::pod::test {
namespace {

struct Pty {
  Fd master, slave;
};
Pty open_pty() {
  Pty p;
  p.master = Fd(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  int unlocked = 0;
  ::ioctl(p.master.get(), TIOCSPTLCK, &unlocked);
  p.slave = Fd(::ioctl(p.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  return p;
}
bool may_type() { return ::geteuid() == 0; }

void change(const Fd& fd, tcflag_t set, tcflag_t clear) {
  struct termios t{};
  ASSERT_EQ(::tcgetattr(fd.get(), &t), 0);
  t.c_lflag = (t.c_lflag | set) & ~clear;
  if ((clear & ICANON) != 0) t.c_iflag &= ~static_cast<tcflag_t>(IXON | ICRNL);
  ASSERT_EQ(::tcsetattr(fd.get(), TCSANOW, &t), 0);
}
void put(const Fd& fd, const std::string& text) { ASSERT_OK(io::write_full(fd.get(), text)); }
std::string take(int fd, int wait_ms = 1000) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  pollfd wait{fd, POLLIN, 0};
  ::poll(&wait, 1, wait_ms);
  char buffer[8192];
  const ssize_t n = ::read(fd, buffer, sizeof(buffer));
  if (n < 0) return std::string("errno ") + ::strerrorname_np(errno);
  return std::string(buffer, static_cast<size_t>(n));
}
// The kernel passes what was written to the other side in a thread of its own: waits until it is there.
void wait_input(const Fd& fd) {
  pollfd wait{fd.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&wait, 1, 5000), 1);
}

TEST(Terminal, keeps_lines_the_line_being_typed_and_end_of_file) {
  if (!may_type()) GTEST_SKIP() << "TIOCSTI needs root";
  Pty p = open_pty();
  change(p.slave, 0, ECHO);
  put(p.master, "first\nsecond\n");
  put(p.master, "no newline\x04");
  put(p.master, "half a li");
  wait_input(p.slave);
  FakeTree tree;
  const FileId m = tree.add(p.master.get()), s = tree.add(p.slave.get());
  DUMP_AND_RESTORE(tree, restored);
  put(Fd(::fcntl(restored.fd(m), F_DUPFD_CLOEXEC, 0)), "ne\n");
  put(p.master, "ne\n");
  for (const int fd : {restored.fd(s), p.slave.get()}) {  // the copy, and the source, which goes on undisturbed
    EXPECT_EQ(take(fd), "first\n");
    EXPECT_EQ(take(fd), "second\n");
    EXPECT_EQ(take(fd), "no newline");
    EXPECT_EQ(take(fd), "half a line\n");
    EXPECT_EQ(take(fd, 0), "errno EAGAIN");
  }
  EXPECT_EQ(take(restored.fd(m), 0), "errno EAGAIN") << "nothing was echoed";
}

TEST(Terminal, keeps_unread_output_settings_and_window) {
  if (!may_type()) GTEST_SKIP() << "TIOCSTI needs root";
  Pty p = open_pty();
  change(p.slave, ECHOCTL, ICANON | ECHO | ISIG);
  const winsize window{33, 101, 7, 9};
  ASSERT_EQ(::ioctl(p.master.get(), TIOCSWINSZ, &window), 0);
  std::string shown;
  for (int i = 0; shown.size() < 6000; ++i) shown += "line " + std::to_string(i) + "\n";
  put(p.slave, shown);
  put(p.master, "raw \x03\x04\x11\x13\xff keys");
  wait_input(p.slave);
  wait_input(p.master);
  FakeTree tree;
  const FileId m = tree.add(p.master.get()), s = tree.add(p.slave.get());
  struct termios before{}, after{};
  ::tcgetattr(p.slave.get(), &before);
  DUMP_AND_RESTORE(tree, restored);
  std::string cooked;
  for (const char c : shown) cooked += c == '\n' ? std::string("\r\n") : std::string(1, c);
  for (const int fd : {restored.fd(m), p.master.get()}) {
    std::string got;
    while (got.size() < cooked.size()) {
      const std::string more = take(fd);
      ASSERT_NE(more, "errno EAGAIN") << got.size() << " of " << cooked.size();
      got += more;
    }
    EXPECT_EQ(got, cooked);
  }
  EXPECT_EQ(take(restored.fd(s)), "raw \x03\x04\x11\x13\xff keys");
  ::tcgetattr(restored.fd(s), &after);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  EXPECT_EQ(std::memcmp(after.c_cc, before.c_cc, sizeof(after.c_cc)), 0);
  winsize now{};
  ::ioctl(restored.fd(s), TIOCGWINSZ, &now);
  EXPECT_EQ(std::memcmp(&now, &window, sizeof(now)), 0);
}

TEST(Terminal, keeps_its_number) {
  Pty low = open_pty(), p = open_pty();
  unsigned number = 0, now = 0;
  ASSERT_EQ(::ioctl(p.master.get(), TIOCGPTN, &number), 0);
  FakeTree tree;
  const FileId s = tree.add(p.slave.get()), m = tree.add(p.master.get());
  const auto files = tree.dump();
  ASSERT_OK(files);
  ASSERT_TRUE(tree.blockers.empty()) << tree.blockers[0].code;
  const auto name = *sys::read_link("/proc/self/fd/" + std::to_string(p.slave.get()));
  tree.discard();
  tree.memory("terminals").reset();
  p.master.reset();
  p.slave.reset();
  low.master.reset();
  low.slave.reset();
  FakeRestore restored(tree);
  ASSERT_OK(restored.run(*files));
  ASSERT_EQ(::ioctl(restored.fd(m), TIOCGPTN, &now), 0);
  EXPECT_EQ(now, number);
  EXPECT_EQ(*sys::read_link("/proc/self/fd/" + std::to_string(restored.fd(s))), name);
  restored.close(s);
  char byte = 0;
  EXPECT_EQ(::read(restored.fd(m), &byte, 1), -1) << "the last user of the other side is gone";
  EXPECT_EQ(errno, EIO);
}

TEST(Terminal, keeps_packet_mode_locks_and_a_hang_up) {
  Pty p = open_pty(), lost = open_pty(), left = open_pty();
  int on = 1;
  ASSERT_EQ(::ioctl(p.master.get(), TIOCPKT, &on), 0);
  ASSERT_EQ(::ioctl(p.master.get(), TIOCSPTLCK, &on), 0);
  ASSERT_EQ(::ioctl(p.slave.get(), TIOCEXCL), 0);
  lost.master.reset();
  left.slave.reset();
  FakeTree tree;
  const FileId m = tree.add(p.master.get()), s = tree.add(p.slave.get()), hung = tree.add(lost.slave.get()),
               alone = tree.add(left.master.get());
  DUMP_AND_RESTORE(tree, restored);
  int value = 0;
  ::ioctl(restored.fd(m), TIOCGPKT, &value);
  EXPECT_EQ(value, 1);
  ::ioctl(restored.fd(m), TIOCGPTLCK, &value);
  EXPECT_EQ(value, 1);
  ::ioctl(restored.fd(s), TIOCGEXCL, &value);
  EXPECT_EQ(value, 1);
  char byte = 0;
  EXPECT_EQ(::read(restored.fd(hung), &byte, 1), 0);
  EXPECT_EQ(::read(restored.fd(alone), &byte, 1), -1);
  EXPECT_EQ(errno, EIO);
}

TEST(Terminal, is_refused_when_its_master_is_outside) {
  Pty p = open_pty();
  FakeTree tree;
  tree.add(p.slave.get(), 5);
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("terminal-outside"));
}

TEST(Terminal, is_inherited_as_a_standard_stream) {
  Pty p = open_pty(), other = open_pty();
  FakeTree tree;
  tree.allow_inherit = true;
  const FileId s = tree.add(p.slave.get(), 1);
  const auto files = tree.dump();
  ASSERT_OK(files);
  ASSERT_TRUE(tree.blockers.empty());
  FakeRestore restored(tree);
  restored.streams[1] = other.slave.get();
  ASSERT_OK(restored.run(*files));
  put(Fd(::fcntl(restored.fd(s), F_DUPFD_CLOEXEC, 0)), "here");
  EXPECT_EQ(take(other.master.get()), "here");
}

}  // namespace
}  // namespace godwit::pod::test
