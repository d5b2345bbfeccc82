// Two keepers and a test that plays both their daemons and the store: a real program is launched, moved live, and its
// output must be whole. Needs root (namespaces, ptrace).
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <thread>

#include "base/base.h"
#include "base/pki.h"
#include "godwit/keeper.pb.h"
#include "link/keeper_args.h"
#include "link/link.h"

namespace godwit {
namespace {

using Packet = wire::keeper::Packet;
namespace fs = std::filesystem;

#define OK(...)                                            \
  do {                                                     \
    auto&& ok_result = (__VA_ARGS__);                      \
    ASSERT_TRUE(ok_result) << ok_result.error().message(); \
  } while (false)

// One keeper and the daemon's end of its socket.
class TestKeeper {
 public:
  void start(const std::string& root, const std::string& node, const pki::Identity& authority,
             const char* fault = nullptr) {
    state_ = root + "/" + node;
    dir_ = state_ + "/units/u1";
    OK(sys::make_dirs(dir_));
    OK(pki::save(*pki::issue(authority, node), authority.certificate, state_, "node"));
    auto listener = link::listen(dir_ + "/keeper.sock");
    OK(listener);
    const auto argv_strings = link::to_arguments({"u1", dir_, state_, node, ""});
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setsid();
      if (fault != nullptr) ::setenv("GODWIT_FAULT", fault, 1);
      const int log = ::open((dir_ + "/keeper.log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
      ::dup2(log, 1);
      ::dup2(log, 2);
      ::dup2(listener->get(), link::kKeeperListener);
      ::fcntl(link::kKeeperListener, F_SETFD, 0);
      std::vector<char*> argv{const_cast<char*>("godwit-keeper")};
      for (const auto& s : argv_strings) argv.push_back(const_cast<char*>(s.c_str()));
      argv.push_back(nullptr);
      ::execv(GODWIT_KEEPER, argv.data());
      ::_exit(127);
    }
    connect();
  }
  void connect() {
    channel_.reset();
    auto socket = link::connect(dir_ + "/keeper.sock");
    OK(socket);
    timeval limit{20, 0};
    ::setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    channel_ = std::make_unique<link::Channel>(std::move(*socket));
    Packet hello;
    OK(channel_->receive(hello));
    ASSERT_TRUE(hello.has_hello());
  }
  ~TestKeeper() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  /// Sends, and gives the reply; events that come first are kept.
  Packet ask(Packet p, std::vector<int> fds = {}) {
    p.set_id(++id_);
    EXPECT_TRUE(channel_->send(p, fds));
    for (;;) {
      Packet in;
      auto got = channel_->receive(in);
      if (!got) {
        ADD_FAILURE() << got.error().message() << "\n" << log();
        return {};
      }
      if (in.id() == p.id()) return in;
      events_.push_back(std::move(in));
    }
  }
  /// The next event of this kind; others but progress and hints fail the test.
  Packet event(Packet::BodyCase kind) {
    for (;;) {
      Packet in;
      if (!events_.empty()) {
        in = std::move(events_.front());
        events_.pop_front();
      } else if (auto got = channel_->receive(in); !got) {
        ADD_FAILURE() << "no event: " << got.error().message() << "\n" << log();
        return {};
      }
      if (in.seq() != 0) {
        Packet ack;
        ack.mutable_ack()->set_seq(in.seq());
        EXPECT_TRUE(channel_->send(ack));
      }
      if (in.seq() != 0 && in.seq() <= seen_) continue;  // said again to a new connection
      if (in.body_case() == kind) {
        seen_ = in.seq();
        return in;
      }
      if (!in.has_progress() && !in.has_commit_soon()) {
        ADD_FAILURE() << "unexpected event " << in.ShortDebugString() << "\n" << log();
        return {};
      }
    }
  }
  [[nodiscard]] std::string output() const { return io::read_file(dir_ + "/out.log").value_or(""); }
  [[nodiscard]] std::string log() const { return io::read_file(dir_ + "/keeper.log").value_or(""); }
  int wait_exit() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    return status;
  }
  link::Channel& channel() { return *channel_; }

 private:
  std::string state_, dir_;
  pid_t pid_ = 0;
  uint64_t id_ = 0, seen_ = 0;
  std::unique_ptr<link::Channel> channel_;
  std::deque<Packet> events_;
};

class KeeperTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: namespaces and ptrace";
    char name[] = "/tmp/godwit-keeper-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override {
    if (!root_.empty()) (void)sys::remove_tree(root_);
  }
  void launch(TestKeeper& k, const std::string& script, bool tty = false, bool interactive = false) {
    Packet p;
    auto& l = *p.mutable_launch();
    l.mutable_spec()->set_tty(tty);
    l.mutable_spec()->set_interactive(tty || interactive);
    l.set_unit("u1");
    l.set_epoch(1);
    for (const char* a : {"/bin/sh", "-c"}) l.mutable_spec()->add_argv(a);
    l.mutable_spec()->add_argv(script);
    l.mutable_spec()->add_env("PATH=/usr/bin:/bin");
    ASSERT_TRUE(k.ask(p).has_done());
    const Packet launched = k.event(Packet::kLaunched);
    ASSERT_TRUE(launched.has_launched());
    ASSERT_GT(launched.launched().init_pid(), 0) << k.log();
  }
  /// Both daemons' part of a move, as far as the end of the source. The store grants.
  Packet move(TestKeeper& a, TestKeeper& b, const std::string& id, uint64_t epoch, const std::string& from,
              const std::string& to) {
    const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(listener.get(), 16), 0);
    EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
    Packet receive;
    auto& r = *receive.mutable_receive();
    r.set_migration(id);
    r.set_unit("u1");
    r.set_epoch(epoch);
    r.set_source(from);
    r.set_token("t0k3n");
    EXPECT_TRUE(b.ask(receive).has_done()) << b.log();
    Packet migrate;
    auto& m = *migrate.mutable_migrate();
    m.set_migration(id);
    m.set_epoch(epoch);
    m.set_destination(to);
    m.set_endpoint("127.0.0.1:" + std::to_string(ntohs(at.sin_port)));
    m.set_token("t0k3n");
    EXPECT_TRUE(a.ask(migrate).has_done());
    for (int i = 0; i < 3; i++) {
      const Fd s(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      std::array<std::byte, link::kPreambleSize> bytes;
      if (!io::read_full(s.get(), bytes)) break;
      auto preamble = link::decode(bytes);
      if (!preamble) break;
      Packet stream;
      stream.mutable_stream()->set_migration(preamble->migration);
      stream.mutable_stream()->set_index(preamble->index);
      EXPECT_TRUE(b.ask(stream, {s.get()}).has_done());
    }
    const Packet question = b.event(Packet::kCommitQuestion);
    if (!question.has_commit_question()) {
      ADD_FAILURE() << a.log();
      return {};
    }
    Packet answer;
    answer.mutable_commit()->set_migration(id);
    answer.mutable_commit()->set_granted(true);
    answer.mutable_commit()->set_epoch(epoch + 1);
    answer.mutable_commit()->set_token("commit");
    EXPECT_TRUE(b.ask(answer).has_done());
    EXPECT_TRUE(b.event(Packet::kMoveEnded).move_ended().committed()) << b.log();
    return a.event(Packet::kMoveEnded);
  }
  std::string root_;
  pki::Identity authority_ = *pki::make_authority("test");
};

TEST_F(KeeperTest, a_unit_runs_to_its_end_and_its_status_waits_for_a_daemon) {
  TestKeeper k;
  k.start(root_, "a", authority_);
  launch(k, "echo hello; exit 7");
  k.connect();  // the daemon was killed and came back
  const Packet ended = k.event(Packet::kEnded);
  EXPECT_EQ(ended.ended().exit().status(), 7);
  EXPECT_EQ(k.output(), "hello\n");
  EXPECT_EQ(k.wait_exit(), 0);  // acknowledged: nothing is left to do
}

TEST_F(KeeperTest, a_shell_is_moved_live_and_its_output_is_whole) {
  TestKeeper a, b;
  a.start(root_, "node-a", authority_);
  b.start(root_, "node-b", authority_);
  launch(a,
         "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); j=0; while [ $j -lt 4000 ]; do j=$((j+1)); done; done; "
         "exit 3");
  const Packet ended = move(a, b, "0123456789abcdef", 1, "node-a", "node-b");
  ASSERT_TRUE(ended.move_ended().committed()) << ended.ShortDebugString() << a.log() << b.log();
  std::printf("%s\n", ended.move_ended().report().ShortDebugString().c_str());
  EXPECT_EQ(b.event(Packet::kEnded).ended().exit().status(), 3) << b.log();
  std::string expected;
  for (int i = 0; i < 300; i++) expected += std::to_string(i) + "\n";
  EXPECT_EQ(b.output(), expected);
}

// Until the unit wrote `text`: what an attached user sees is this file.
bool shows(const TestKeeper& k, const std::string& text) {
  for (int i = 0; i < 1000; i++) {
    if (k.output().find(text) != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}
void type(TestKeeper& k, const std::string& text, bool end = false) {
  Packet p;
  p.mutable_input()->set_data(text);
  p.mutable_input()->set_end(end);
  const Packet reply = k.ask(p);
  EXPECT_TRUE(reply.has_done()) << reply.ShortDebugString();
}

TEST_F(KeeperTest, a_session_in_a_terminal_is_moved_with_its_job_and_its_unread_keys) {
  TestKeeper a, b;
  a.start(root_, "node-a", authority_);
  b.start(root_, "node-b", authority_);
  launch(a, "exec bash --norc --noprofile -i", true);
  Packet resize;
  resize.mutable_resize()->mutable_window()->set_rows(33);
  resize.mutable_resize()->mutable_window()->set_columns(77);
  ASSERT_TRUE(a.ask(resize).has_done());
  type(a, "tty; sleep 1000 & stty size; echo re''ady\n");
  ASSERT_TRUE(shows(a, "ready")) << a.output() << a.log();
  EXPECT_NE(a.output().find("33 77"), std::string::npos) << a.output();
  type(a, "echo half-");  // not a whole line: it stands in the terminal when the unit is moved
  const Packet ended = move(a, b, "0123456789abcdef", 1, "node-a", "node-b");
  ASSERT_TRUE(ended.move_ended().committed()) << ended.ShortDebugString() << a.log() << b.log();
  type(b, "typed\njobs; stty size; echo mo''ved\n");
  ASSERT_TRUE(shows(b, "moved")) << b.output() << b.log();
  const std::string after = b.output().substr(a.output().size());
  EXPECT_NE(b.output().find("\nhalf-typed"), std::string::npos) << b.output();
  EXPECT_NE(after.find("Running"), std::string::npos) << b.output();
  EXPECT_NE(after.find("33 77"), std::string::npos) << b.output();
  type(b, "kill %1; wait; exit 5\n");
  EXPECT_EQ(b.event(Packet::kEnded).ended().exit().status(), 5) << b.output() << b.log();
}

TEST_F(KeeperTest, an_input_is_kept_open_over_a_move_and_ends_when_the_user_says_so) {
  TestKeeper a, b;
  a.start(root_, "node-a", authority_);
  b.start(root_, "node-b", authority_);
  launch(a, "echo ready; exec cat", false, true);
  type(a, "one\n");
  ASSERT_TRUE(shows(a, "one\n")) << a.log();
  const Packet ended = move(a, b, "0123456789abcdef", 1, "node-a", "node-b");
  ASSERT_TRUE(ended.move_ended().committed()) << ended.ShortDebugString() << a.log() << b.log();
  type(b, "two\n", true);
  EXPECT_EQ(b.event(Packet::kEnded).ended().exit().status(), 0) << b.log();
  EXPECT_EQ(b.output(), "ready\none\ntwo\n");
}

}  // namespace
}  // namespace godwit
