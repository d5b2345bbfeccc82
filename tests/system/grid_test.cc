// The grid itself: namespaces, links, starts and ends. A shell script stands in for the daemons, so that only what the
// grid does is under test.
#include "grid.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>

#include <fstream>

namespace godwit::test {
namespace {

// Says that it is ready, then waits.
constexpr const char* kStandIn = R"(#!/bin/sh
echo "stand-in $*"
while [ $# -gt 0 ]; do
  case "$1" in --ready) ready=$2 ;; --state) state=$2 ;; esac
  shift
done
hostname > "$state/host"
ls /proc | grep -c '^[0-9]' > "$state/processes"
echo yes > "$ready"
exec sleep 1000
)";

class GridTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/godwit_standin_XXXXXX";
    dir_ = ::mkdtemp(name);
    program_ = dir_ + "/godwit";
    ASSERT_TRUE(io::replace_file(program_, kStandIn, 0755));
  }
  void TearDown() override { (void)sys::remove_tree(dir_); }
  static std::string word(const std::string& path) {
    std::ifstream in(path);
    std::string out;
    in >> out;
    return out;
  }
  // Runs `ping` from one node to another: packets pass, or don't.
  static bool reaches(const Grid& grid, const std::string& from, const std::string& to) {
    const auto holder = std::to_string(grid.member(from).holder_pid);
    const auto address = grid.member(to).address;
    const auto ran = run_program({"/usr/bin/nsenter", "-t", holder, "-n", "/bin/bash", "-c",
                                  "exec 3<>/dev/udp/" + address +
                                      "/9 && echo x >&3; sleep 0.05; "
                                      "ip neigh show " +
                                      address + " | grep -q lladdr"});
    return ran.status == 0;
  }

  std::string dir_, program_;
};

TEST_F(GridTest, starts_each_node_as_a_host_of_its_own_and_leaves_nothing) {
  int hub = 0;
  {
    Grid grid(2, {}, program_);
    REQUIRE_GRID(grid);
    hub = grid.member("controller").holder_pid;
    EXPECT_EQ(word(grid.state() + "/nodes/node-1/host"), "node-1");
    EXPECT_EQ(word(grid.state() + "/nodes/node-2/host"), "node-2");
    EXPECT_LT(std::stoi(word(grid.state() + "/nodes/node-1/processes")), 10);
    EXPECT_TRUE(reaches(grid, "node-1", "node-2"));
    auto again = node::grid_up(grid.options(), [](std::string_view) {});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Code::kRefused);
    ASSERT_TRUE(node::grid_down(grid.state(), false));
    ASSERT_TRUE(node::grid_down(grid.state(), false));
    EXPECT_FALSE(node::grid_members(grid.state()));
  }
  EXPECT_TRUE(eventually([&] { return ::kill(hub, 0) < 0; }));
}

TEST_F(GridTest, can_be_started_again_in_the_same_place) {
  Grid grid(1, {}, program_);
  REQUIRE_GRID(grid);
  const auto ca = *io::read_file(grid.state() + "/ca.crt");
  ASSERT_TRUE(node::grid_down(grid.state(), false));
  ASSERT_TRUE(node::grid_up(grid.options(), [](std::string_view) {}));
  EXPECT_EQ(*io::read_file(grid.state() + "/ca.crt"), ca);
}

TEST_F(GridTest, daemons_die_and_start_again_without_their_hosts) {
  Grid grid(2, {}, program_);
  REQUIRE_GRID(grid);
  const auto before = grid.member("node-1");
  grid.kill("node-1");
  EXPECT_FALSE(grid.runs("node-1"));
  EXPECT_TRUE(grid.runs("node-2"));
  grid.start("node-1");
  EXPECT_EQ(grid.member("node-1").holder_pid, before.holder_pid);
  EXPECT_NE(grid.member("node-1").daemon_pid, before.daemon_pid);
  grid.kill("controller");
  EXPECT_FALSE(grid.runs("controller"));
  grid.start("controller");
  EXPECT_TRUE(grid.runs("controller"));
}

TEST_F(GridTest, a_crashed_host_takes_its_processes_along_and_boots_again) {
  Grid grid(2, {}, program_);
  REQUIRE_GRID(grid);
  grid.crash("node-2");
  EXPECT_EQ(grid.member("node-2").holder_pid, 0);
  EXPECT_EQ(grid.member("node-2").daemon_pid, 0);
  grid.boot("node-2");
  EXPECT_TRUE(grid.runs("node-2"));
  EXPECT_TRUE(reaches(grid, "node-1", "node-2"));
}

// Else the other nodes would talk to an address that nobody has until their ARP entries expire, and look gone meanwhile.
TEST_F(GridTest, the_controller_keeps_its_link_address_when_nodes_crash) {
  Grid grid(3, {}, program_);
  REQUIRE_GRID(grid);
  const auto address = [&] {
    const auto hub = std::to_string(grid.member("controller").holder_pid);
    return run_program({"/usr/bin/nsenter", "-t", hub, "-n", "ip", "-brief", "link", "show", "grid0"}).out;
  };
  const std::string before = address();
  ASSERT_NE(before.find("grid0"), std::string::npos) << before;
  const auto first_words = [](const std::string& line) { return line.substr(0, line.find('<')); };
  for (const char* node : {"node-1", "node-2", "node-3"}) {
    grid.crash(node);
    grid.boot(node);  // which waits for the old link to be gone
    EXPECT_EQ(first_words(address()), first_words(before)) << node;
  }
}

TEST_F(GridTest, a_cut_link_swallows_packets_until_it_is_mended) {
  Grid grid(2, {}, program_);
  REQUIRE_GRID(grid);
  grid.cut("node-2");
  EXPECT_FALSE(reaches(grid, "node-1", "node-2"));
  grid.mend("node-2");
  EXPECT_TRUE(eventually([&] { return reaches(grid, "node-1", "node-2"); }));
}

TEST_F(GridTest, a_daemon_that_does_not_start_is_reported_with_its_words_and_leaves_nothing) {
  ASSERT_TRUE(io::replace_file(program_, "#!/bin/sh\necho the disk is made of cheese\nexit 1\n", 0755));
  Grid grid(2, {}, program_);
  if (!grid.missing().empty()) GTEST_SKIP() << "needs " << grid.missing();
  ASSERT_FALSE(grid.up());
  EXPECT_NE(grid.up().error().text.find("made of cheese"), std::string::npos) << grid.up().error().text;
  EXPECT_FALSE(node::grid_members(grid.state()));
}

TEST_F(GridTest, a_starter_that_is_killed_half_way_leaves_nothing) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  // The controller never says that it is ready, so the starter waits when it is killed.
  // It holds a lock, by which the test sees that it is gone.
  const std::string lock_path = dir_ + "/lock";
  ASSERT_TRUE(io::replace_file(
      program_, "#!/bin/sh\nexec flock " + lock_path + " sh -c 'echo > " + dir_ + "/started; sleep 1000'\n", 0755));
  const std::string state = dir_ + "/state";
  const pid_t starter = ::fork();
  if (starter == 0) {
    (void)node::grid_up({.state_dir = state, .nodes = 2, .roots = {}, .network = "10.77.0.0/24", .program = program_},
                        [](std::string_view) {});
    ::_exit(0);
  }
  ASSERT_TRUE(eventually([&] { return sys::lstat(dir_ + "/started").has_value(); }));
  const Fd lock = *sys::open(lock_path, O_RDWR);
  EXPECT_NE(::flock(lock.get(), LOCK_EX | LOCK_NB), 0);
  ::kill(starter, SIGKILL);
  ::waitpid(starter, nullptr, 0);
  EXPECT_TRUE(eventually([&] { return ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0; }));
  EXPECT_TRUE(node::grid_down(state, true));
}

TEST(GridOptions, wrong_ones_are_named) {
  const auto up = [](const node::GridOptions& o) { return node::grid_up(o, [](std::string_view) {}).error(); };
  EXPECT_EQ(up({.state_dir = "/tmp/godwit_none", .nodes = 0}).code, Code::kUsage);
  EXPECT_EQ(up({.state_dir = "relative", .nodes = 1}).code, Code::kUsage);
  EXPECT_EQ(up({.state_dir = "/tmp/godwit_none", .nodes = 2, .roots = {{"node-9", "/tmp"}}}).code, Code::kUsage);
  EXPECT_EQ(up({.state_dir = "/tmp/godwit_none", .nodes = 2, .network = "10.77.0.0/30"}).code, Code::kUsage);
  EXPECT_EQ(up({.state_dir = "/tmp/godwit_none", .nodes = 2, .network = "grid"}).code, Code::kUsage);
  EXPECT_EQ(up({.state_dir = "/tmp/" + std::string(120, 'x'), .nodes = 2}).code, Code::kUsage);
}

}  // namespace
}  // namespace godwit::test
