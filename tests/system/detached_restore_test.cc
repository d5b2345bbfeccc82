// `godwit restore DIR --pids new --detach`: the tree goes on when the command has returned, in a PID namespace whose init is left
// to itself; and with its last process nothing is left.
#include <fcntl.h>
#include <signal.h>

#include "grid.h"

namespace godwit::test {
namespace {

class DetachedRestoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    char name[] = "/tmp/godwit_detached_XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override {
    if (restored_ > 0) ::kill(restored_, SIGKILL);
    (void)sys::remove_tree(dir_);
  }

  // A shell that writes its count every 10 ms; in the process group of a parent that has died, so that the restore has to found
  // this group again.
  pid_t start_counting() const {
    int ends[2];
    if (::pipe(ends) != 0) return -1;
    const std::string script = "i=0; while [ ! -e " + dir_ + "/stop ]; do i=$((i+1)); echo $i > " + dir_ +
                               "/count; sleep 0.01; done; echo ended > " + dir_ + "/count";
    const pid_t founder = ::fork();
    if (founder == 0) {
      ::setsid();
      const pid_t child = ::fork();
      if (child != 0) {
        (void)!::write(ends[1], &child, sizeof child);
        ::_exit(0);
      }
      const int null = ::open("/dev/null", O_RDWR);
      for (int fd = 0; fd < 3; fd++) ::dup2(null, fd);
      ::close_range(3, ~0u, 0);
      ::execl("/bin/sh", "sh", "-c", script.c_str(), nullptr);
      ::_exit(127);
    }
    pid_t child = -1;
    (void)!::read(ends[0], &child, sizeof child);
    ::waitpid(founder, nullptr, 0);
    ::close(ends[0]), ::close(ends[1]);
    return child;
  }
  std::string counted() const { return io::read_file(dir_ + "/count").value_or(""); }
  bool counts_on() const {
    const std::string before = counted();
    return eventually([&] { return counted() != before; });
  }

  std::string dir_;
  pid_t restored_ = 0;
};

TEST_F(DetachedRestoreTest, a_tree_with_new_pids_goes_on_without_the_command) {
  const pid_t pid = start_counting();
  ASSERT_GT(pid, 0);
  ASSERT_TRUE(counts_on());
  const auto taken = run_program({GODWIT_BIN, "checkpoint", "--pid", std::to_string(pid), "-o", dir_ + "/image"});
  ASSERT_EQ(taken.status, 0) << taken.err;
  const auto done =
      run_program({GODWIT_BIN, "restore", dir_ + "/image", "--pids", "new", "--detach", "--pidfile", dir_ + "/pid"});
  ASSERT_EQ(done.status, 0) << done.err;
  restored_ = std::stoi(io::read_file(dir_ + "/pid").value_or("0"));
  ASSERT_GT(restored_, 0);
  EXPECT_TRUE(counts_on());
  const auto init = io::read_file("/proc/" + std::to_string(restored_) + "/stat");
  ASSERT_TRUE(init);
  const pid_t parent = std::stoi(init->substr(init->rfind(')') + 4));

  ASSERT_TRUE(io::replace_file(dir_ + "/stop", ""));
  EXPECT_TRUE(eventually([&] { return counted() == "ended\n"; })) << counted();
  EXPECT_TRUE(eventually([&] { return ::kill(restored_, 0) != 0; }));
  EXPECT_TRUE(eventually([&] { return ::kill(parent, 0) != 0; })) << "init stays with nobody in its namespace";
  restored_ = 0;
}

// One file, which is opened in memory: nothing of the tree is written in the clear.
TEST_F(DetachedRestoreTest, an_encrypted_tree_goes_on_with_its_key_and_with_no_other) {
  const pid_t pid = start_counting();
  ASSERT_GT(pid, 0);
  ASSERT_TRUE(counts_on());
  const std::string file = dir_ + "/image";
  for (const char* name : {"/key", "/other"})
    ASSERT_EQ(run_program({GODWIT_BIN, "key", "new", "--sealing", "--out", dir_ + name}).status, 0);
  const auto checkpoint = [&](const std::string& to, const std::string& key) {
    return run_program({GODWIT_BIN, "checkpoint", "--pid", std::to_string(pid), "-o", to, "--encrypt", key});
  };
  // What goes wrong leaves the tree running and no file.
  EXPECT_NE(checkpoint(file, dir_ + "/nowhere.pub").status, 0);
  EXPECT_NE(checkpoint(dir_ + "/no/such/file", dir_ + "/key.pub").status, 0);
  EXPECT_TRUE(counts_on());
  EXPECT_FALSE(sys::stat(file));
  const auto taken = checkpoint(file, dir_ + "/key.pub");
  ASSERT_EQ(taken.status, 0) << taken.err;
  const std::string bytes = *io::read_file(file);
  EXPECT_TRUE(bytes.starts_with("GODWITSE"));
  EXPECT_EQ(bytes.find("GODWITPK"), std::string::npos);
  EXPECT_EQ(bytes.find("godwit tree"), std::string::npos);
  const auto restore = [&](const std::string& key) {
    return run_program(
        {GODWIT_BIN, "restore", file, "--key", key, "--pids", "new", "--detach", "--pidfile", dir_ + "/pid"});
  };
  EXPECT_EQ(restore(dir_ + "/other").status, 3);
  ASSERT_TRUE(io::replace_file(file, bytes.substr(0, bytes.size() - 1)));
  EXPECT_NE(restore(dir_ + "/key").status, 0);
  EXPECT_FALSE(sys::stat(dir_ + "/pid"));
  ASSERT_TRUE(io::replace_file(file, bytes));
  const auto done = restore(dir_ + "/key");
  ASSERT_EQ(done.status, 0) << done.err;
  restored_ = std::stoi(io::read_file(dir_ + "/pid").value_or("0"));
  ASSERT_GT(restored_, 0);
  EXPECT_TRUE(counts_on());
  ASSERT_TRUE(io::replace_file(dir_ + "/stop", ""));
  EXPECT_TRUE(eventually([&] { return counted() == "ended\n"; })) << counted();
  EXPECT_TRUE(eventually([&] { return ::kill(restored_, 0) != 0; }));
  restored_ = 0;
}

}  // namespace
}  // namespace godwit::test
