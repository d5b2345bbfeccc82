#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pod/kinds/fake_context_test.h"
#include "pod/kinds/socket_options.h"
#include "pod/kinds/unix_name.h"

namespace godwit::pod::test {
namespace {

struct Pair {
  Fd a, b;
};
Pair pair_of(int type) {
  auto made = *sys::socketpair(AF_UNIX, type);
  return {std::move(made.first), std::move(made.second)};
}
Fd socket_of(int type) { return Fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)); }
Fd bound(int type, const std::string& name) {
  Fd fd = socket_of(type);
  const auto address = *unix_address(name);
  EXPECT_EQ(::bind(fd.get(), address.get(), address.length), 0) << std::strerror(errno);
  return fd;
}
int connect_to(const Fd& fd, const std::string& name) {
  const auto address = *unix_address(name);
  return ::connect(fd.get(), address.get(), address.length);
}
std::string receive(int fd, int flags = MSG_DONTWAIT, size_t limit = 4096) {
  std::string data(limit, '\0');
  const ssize_t n = ::recv(fd, data.data(), data.size(), flags);
  if (n < 0) return std::string("errno ") + ::strerrorname_np(errno);
  data.resize(static_cast<size_t>(n));
  return data;
}
void send_text(int fd, const std::string& text) {
  ASSERT_EQ(::send(fd, text.data(), text.size(), MSG_DONTWAIT), static_cast<ssize_t>(text.size()));
}
std::string abstract(const std::string& name) {
  return std::string(1, '\0') + "godwit-test-" + std::to_string(::getpid()) + name;
}
void forget(Fd& fd) { fd.reset(); }

TEST(UnixSocket, keeps_what_both_ends_have_not_read) {
  auto p = pair_of(SOCK_STREAM);
  send_text(p.a.get(), "to b");
  send_text(p.b.get(), "to a, ");
  send_text(p.b.get(), "in two parts");
  FakeTree tree;
  const FileId a = tree.add(p.a.get()), b = tree.add(p.b.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(receive(restored.fd(b)), "to b");
  EXPECT_EQ(receive(restored.fd(a)), "to a, in two parts");
  send_text(restored.fd(a), "again");
  EXPECT_EQ(receive(restored.fd(b)), "again");
  EXPECT_EQ(receive(restored.fd(b)), "errno EAGAIN");
  // The source noticed nothing.
  EXPECT_EQ(receive(p.b.get()), "to b");
  EXPECT_EQ(receive(p.a.get()), "to a, in two parts");
  EXPECT_EQ(*int_option(p.a, SOL_SOCKET, SO_PEEK_OFF), -1);
  EXPECT_EQ(*int_option(p.a, SOL_SOCKET, SO_PASSCRED), 0);
}

TEST(UnixSocket, carries_a_megabyte_in_flight) {
  auto p = pair_of(SOCK_STREAM);
  ASSERT_OK(set_buffer_size(p.a, SO_SNDBUF, 4 << 20));
  std::string sent(1 << 20, 'x');
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 2654435761u >> 13);
  ASSERT_EQ(::send(p.a.get(), sent.data(), sent.size(), MSG_DONTWAIT), static_cast<ssize_t>(sent.size()));
  FakeTree tree;
  tree.add(p.a.get());
  const FileId b = tree.add(p.b.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(receive(restored.fd(b), MSG_WAITALL, sent.size()), sent);
}

TEST(UnixSocket, keeps_the_boundaries_of_packets) {
  for (const int type : {SOCK_SEQPACKET, SOCK_DGRAM}) {
    auto p = pair_of(type);
    for (const auto* text : {"one", "", "three"}) send_text(p.a.get(), text);
    FakeTree tree;
    const FileId a = tree.add(p.a.get()), b = tree.add(p.b.get());
    DUMP_AND_RESTORE(tree, restored);
    EXPECT_EQ(receive(restored.fd(b)), "one");
    EXPECT_EQ(receive(restored.fd(b)), "");
    EXPECT_EQ(receive(restored.fd(b)), "three");
    EXPECT_EQ(receive(restored.fd(b)), "errno EAGAIN");
    send_text(restored.fd(b), "back");
    EXPECT_EQ(receive(restored.fd(a)), "back");
  }
}

TEST(UnixSocket, carries_descriptors_in_flight_with_their_byte) {
  auto p = pair_of(SOCK_STREAM);
  auto pipe = *sys::socketpair(AF_UNIX, SOCK_STREAM);  // one end is only in flight
  send_text(p.a.get(), "abc");
  const int fds[] = {pipe.second.get()};
  ASSERT_OK(io::send_with_fds(p.a.get(), "d", fds));
  send_text(p.a.get(), "ef");
  pipe.second.reset();
  FakeTree tree;
  tree.add(p.a.get());
  const FileId b = tree.add(p.b.get()), near = tree.add(pipe.first.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(receive(restored.fd(b), MSG_DONTWAIT, 3), "abc");
  auto message = io::receive_with_fds(restored.fd(b), 1);
  ASSERT_OK(message);
  EXPECT_EQ(message->message, "d");
  ASSERT_EQ(message->fds.size(), 1u);
  EXPECT_EQ(receive(restored.fd(b)), "ef");
  send_text(message->fds[0].get(), "through");
  EXPECT_EQ(receive(restored.fd(near)), "through");
}

TEST(UnixSocket, keeps_an_abstract_listener_its_backlog_and_accepted_connections) {
  const std::string name = abstract("listen");
  Fd listener = bound(SOCK_STREAM, name);
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  Fd client = socket_of(SOCK_STREAM), first = socket_of(SOCK_STREAM), second = socket_of(SOCK_STREAM);
  ASSERT_EQ(connect_to(client, name), 0);
  Fd accepted(::accept(listener.get(), nullptr, nullptr));
  ASSERT_EQ(connect_to(first, name), 0);
  ASSERT_EQ(connect_to(second, name), 0);
  send_text(accepted.get(), "hello");
  for (const bool listener_first : {true, false}) {
    FakeTree tree;
    FileId l = 0;
    if (listener_first) l = tree.add(listener.get());
    const FileId c = tree.add(client.get()), a = tree.add(accepted.get()), one = tree.add(first.get()),
                 two = tree.add(second.get());
    if (!listener_first) l = tree.add(listener.get());
    const auto files = tree.dump();
    ASSERT_OK(files);
    ASSERT_TRUE(tree.blockers.empty()) << tree.blockers[0].code;
    if (!listener_first) {
      for (Fd* fd : {&listener, &client, &accepted, &first, &second}) forget(*fd);
    } else {
      continue;  // the dump left the source alone: dump it again, then let it go
    }
    tree.discard();
    FakeRestore restored(tree);
    ASSERT_OK(restored.run(*files));
    const Fd copy_l = *sys::dup(restored.fd(l)), copy_a = *sys::dup(restored.fd(a)), copy_c = *sys::dup(restored.fd(c));
    EXPECT_EQ(*unix_name(copy_l, false), name);
    EXPECT_EQ(*unix_name(copy_a, false), name);
    EXPECT_EQ(*unix_name(copy_c, true), name);
    EXPECT_EQ(receive(restored.fd(c)), "hello");
    send_text(restored.fd(one), "I am first");
    send_text(restored.fd(two), "I am second");
    const Fd x(::accept(copy_l.get(), nullptr, nullptr)), y(::accept(copy_l.get(), nullptr, nullptr));
    EXPECT_EQ(receive(x.get()), "I am first");
    EXPECT_EQ(receive(y.get()), "I am second");
    Fd later = socket_of(SOCK_STREAM);
    EXPECT_EQ(connect_to(later, name), 0);
  }
}

TEST(UnixSocket, takes_over_a_path_only_after_the_commit) {
  if (::geteuid() != 0) GTEST_SKIP() << "binding a name aside needs CAP_SYS_CHROOT";
  ScratchDir dir;
  const std::string path = dir / "server.sock";
  Fd listener = bound(SOCK_STREAM, path);
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  Fd client = socket_of(SOCK_STREAM), waiting = socket_of(SOCK_STREAM);
  ASSERT_EQ(connect_to(client, path), 0);
  Fd accepted(::accept(listener.get(), nullptr, nullptr));
  ASSERT_EQ(connect_to(waiting, path), 0);
  FakeTree tree;
  const FileId l = tree.add(listener.get()), a = tree.add(accepted.get()), c = tree.add(client.get()),
               w = tree.add(waiting.get());
  const auto before = sys::stat(path)->st_ino;
  const auto files = tree.dump();
  ASSERT_OK(files);
  ASSERT_TRUE(tree.blockers.empty()) << tree.blockers[0].code;
  {
    FakeRestore aborted(tree);
    aborted.stop_before_activate = true;
    ASSERT_OK(aborted.run(*files));
    EXPECT_EQ(sys::stat(path)->st_ino, before) << "the source still owns its name";
    Fd other = socket_of(SOCK_STREAM);
    EXPECT_EQ(connect_to(other, path), 0);
    const Fd first(::accept(listener.get(), nullptr, nullptr)), second(::accept(listener.get(), nullptr, nullptr));
  }
  EXPECT_EQ(sys::list_dir(dir.path())->size(), 1u) << "an abort leaves nothing behind";
  FakeRestore restored(tree);
  ASSERT_OK(restored.run(*files));
  EXPECT_NE(sys::stat(path)->st_ino, before);
  EXPECT_EQ(sys::stat(path)->st_mode & 0777, 0640u);
  EXPECT_EQ(sys::list_dir(dir.path())->size(), 1u);
  const Fd copy_a = *sys::dup(restored.fd(a)), copy_c = *sys::dup(restored.fd(c));
  EXPECT_EQ(*unix_name(copy_a, false), path);
  EXPECT_EQ(*unix_name(copy_c, true), path);
  send_text(restored.fd(w), "waited");
  const Fd next(::accept(restored.fd(l), nullptr, nullptr));
  EXPECT_EQ(receive(next.get()), "waited");
  Fd later = socket_of(SOCK_STREAM);
  ASSERT_EQ(connect_to(later, path), 0);
  send_text(later.get(), "new here");
  const Fd last(::accept(restored.fd(l), nullptr, nullptr));
  EXPECT_EQ(receive(last.get()), "new here");
}

TEST(UnixSocket, keeps_what_was_shut_down_and_who_is_gone) {
  auto half = pair_of(SOCK_STREAM), lost = pair_of(SOCK_STREAM), reset = pair_of(SOCK_SEQPACKET);
  send_text(half.a.get(), "last words");
  ::shutdown(half.a.get(), SHUT_WR);
  send_text(lost.b.get(), "farewell");
  lost.b.reset();
  send_text(reset.a.get(), "never read");
  reset.b.reset();
  FakeTree tree;
  const FileId a = tree.add(half.a.get()), b = tree.add(half.b.get()), l = tree.add(lost.a.get()),
               r = tree.add(reset.a.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(receive(restored.fd(b)), "last words");
  EXPECT_EQ(receive(restored.fd(b)), "") << "end of file";
  send_text(restored.fd(b), "other way");
  EXPECT_EQ(receive(restored.fd(a)), "other way");
  EXPECT_EQ(::send(restored.fd(a), "x", 1, MSG_NOSIGNAL), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(receive(restored.fd(l)), "farewell");
  EXPECT_EQ(receive(restored.fd(l)), "");
  EXPECT_EQ(receive(restored.fd(r)), "errno ECONNRESET");
}

TEST(UnixSocket, keeps_datagrams_of_several_senders_and_their_names) {
  if (::geteuid() != 0) GTEST_SKIP() << "binding a name aside needs CAP_SYS_CHROOT";
  ScratchDir dir;
  const std::string server_name = dir / "log", tied_name = abstract("tied"), gone_name = abstract("gone");
  Fd server = bound(SOCK_DGRAM, server_name), tied = bound(SOCK_DGRAM, tied_name), gone = bound(SOCK_DGRAM, gone_name),
     nameless = socket_of(SOCK_DGRAM);
  for (Fd* fd : {&tied, &gone, &nameless}) ASSERT_EQ(connect_to(*fd, server_name), 0);
  send_text(tied.get(), "from tied");
  send_text(gone.get(), "from gone");
  send_text(nameless.get(), "from nameless");
  gone.reset();
  const auto back = *unix_address(tied_name);
  ASSERT_EQ(::sendto(server.get(), "answer", 6, 0, back.get(), back.length), 6);
  FakeTree tree;
  const FileId t = tree.add(tied.get()), s = tree.add(server.get()), n = tree.add(nameless.get());
  const auto files = tree.dump();
  ASSERT_OK(files);
  ASSERT_TRUE(tree.blockers.empty()) << tree.blockers[0].code;
  tree.discard();
  for (Fd* fd : {&server, &tied, &nameless}) forget(*fd);
  FakeRestore restored(tree);
  ASSERT_OK(restored.run(*files));
  for (const std::string& name : {tied_name, gone_name, std::string()}) {
    sockaddr_un from{};
    socklen_t length = sizeof(from);
    char text[64];
    const ssize_t got =
        ::recvfrom(restored.fd(s), text, sizeof(text), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length);
    ASSERT_GT(got, 0);
    EXPECT_EQ(std::string(from.sun_path, length > 2 ? length - 2 : 0), name);
  }
  EXPECT_EQ(receive(restored.fd(t)), "answer");
  send_text(restored.fd(t), "more");
  send_text(restored.fd(n), "and more");
  EXPECT_EQ(receive(restored.fd(s)), "more");
  EXPECT_EQ(receive(restored.fd(s)), "and more");
}

TEST(UnixSocket, keeps_credentials_and_options) {
  auto p = pair_of(SOCK_STREAM);
  ASSERT_OK(set_int_option(p.b, SOL_SOCKET, SO_PASSCRED, 1));
  ASSERT_OK(set_buffer_size(p.a, SO_SNDBUF, 65536));
  const timeval wait{3, 250000};
  ASSERT_EQ(::setsockopt(p.b.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
  send_text(p.a.get(), "who");
  FakeTree tree;
  const FileId a = tree.add(p.a.get()), b = tree.add(p.b.get());
  DUMP_AND_RESTORE(tree, restored);
  const Fd copy_a = *sys::dup(restored.fd(a)), copy_b = *sys::dup(restored.fd(b));
  EXPECT_EQ(*int_option(copy_a, SOL_SOCKET, SO_SNDBUF), 65536);
  EXPECT_EQ(*int_option(copy_b, SOL_SOCKET, SO_PASSCRED), 1);
  timeval now{};
  socklen_t length = sizeof(now);
  ASSERT_EQ(::getsockopt(copy_b.get(), SOL_SOCKET, SO_RCVTIMEO, &now, &length), 0);
  EXPECT_EQ(now.tv_sec, 3);
  alignas(cmsghdr) char control[256];
  char text[16];
  iovec vector{text, sizeof(text)};
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  ASSERT_EQ(::recvmsg(copy_b.get(), &header, 0), 3);
  const cmsghdr* c = CMSG_FIRSTHDR(&header);
  ASSERT_NE(c, nullptr);
  ASSERT_EQ(c->cmsg_type, SCM_CREDENTIALS);
  ucred credentials{};
  std::memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
  EXPECT_EQ(credentials.pid, ::getpid());
  EXPECT_EQ(credentials.uid, ::geteuid());
}

TEST(UnixSocket, keeps_the_peers_uid) {
  if (::geteuid() != 0) GTEST_SKIP() << "taking on another uid needs root";
  Fd a, b;
  ASSERT_OK(with_identity(1234, 4321, [&]() -> Result<void> {
    auto p = pair_of(SOCK_STREAM);
    a = std::move(p.a);
    b = std::move(p.b);
    return {};
  }));
  FakeTree tree;
  const FileId ia = tree.add(a.get()), ib = tree.add(b.get());
  DUMP_AND_RESTORE(tree, restored);
  for (const FileId id : {ia, ib}) {
    ucred c{};
    socklen_t length = sizeof(c);
    ASSERT_EQ(::getsockopt(restored.fd(id), SOL_SOCKET, SO_PEERCRED, &c, &length), 0);
    EXPECT_EQ(c.uid, 1234u);
    EXPECT_EQ(c.gid, 4321u);
  }
}

TEST(UnixSocket, refuses_a_peer_outside_by_name) {
  auto p = pair_of(SOCK_STREAM);
  FakeTree tree;
  tree.add(p.a.get(), 7);
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("unix-peer-outside"));
}

TEST(UnixSocket, refuses_data_in_a_connection_that_nobody_accepted) {
  const std::string name = abstract("early");
  Fd listener = bound(SOCK_STREAM, name), client = socket_of(SOCK_STREAM);
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  ASSERT_EQ(connect_to(client, name), 0);
  send_text(client.get(), "early");
  FakeTree tree;
  tree.add(listener.get());
  tree.add(client.get());
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("unix-backlog"));
}

}  // namespace
}  // namespace godwit::pod::test
