#include "node/collect.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/io.h"
#include "base/temporary_folder.h"

namespace godwit::node {
namespace {

TEST(Psi, is_the_first_average_of_some) {
  EXPECT_DOUBLE_EQ(
      psi_some_avg10("some avg10=12.50 avg60=1.00 avg300=0.10 total=5\nfull avg10=99.00 avg60=0 avg300=0 total=0\n"),
      12.5);
  for (const char* odd : {"", "some", "full avg10=3", "some avg10=", "some avg10=x", "avg10=5"})
    EXPECT_DOUBLE_EQ(psi_some_avg10(odd), 0) << odd;
  EXPECT_DOUBLE_EQ(psi_some_avg10("some avg10=1e9"), 100);
}

TEST(Fdinfo, has_a_position) {
  EXPECT_EQ(fdinfo_position("pos:\t1234\nflags:\t0100000\nmnt_id:\t29\n"), 1234u);
  for (const char* odd : {"", "flags:\t0", "pos:\t", "pos:\t-5", "pos:\tnan"})
    EXPECT_FALSE(fdinfo_position(odd)) << odd;
}

TEST(Said, is_two_numbers_that_make_sense) {
  EXPECT_DOUBLE_EQ(parse_said("25 100\n")->done, 25);
  EXPECT_DOUBLE_EQ(parse_said("0.5 1 and more")->total, 1);
  EXPECT_DOUBLE_EQ(parse_said("120 100")->done, 100);
  for (const char* odd : {"", "5", "five of ten", "-1 10", "1 0", "1 -3", "inf 10", "1 nan"})
    EXPECT_FALSE(parse_said(odd)) << odd;
}

TEST(Cgroup, limits_cpus_by_quota_and_period) {
  EXPECT_DOUBLE_EQ(*cgroup_cpus("50000 100000\n"), 0.5);
  for (const char* odd : {"", "max 100000", "0 100000", "50000 0", "50000"}) EXPECT_FALSE(cgroup_cpus(odd)) << odd;
}

/// A process that has the first `position` bytes of `path` behind it.
class Reader {
 public:
  Reader(const std::string& path, long position) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ::lseek(fd, position, SEEK_SET);
    for (;;) ::pause();
  }
  ~Reader() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  int pid() const { return pid_; }

 private:
  pid_t pid_;
};

/// A program under ThreadSanitizer has one more than it made.
int threads_of(pid_t pid) {
  const std::filesystem::directory_iterator tasks("/proc/" + std::to_string(pid) + "/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

TEST(Collector, sees_how_far_an_input_was_read) {
  const auto made = TemporaryFolder::make("godwit-collect");
  ASSERT_TRUE(made);
  const std::string folder = made->path();
  const std::string input = folder + "/input";
  ASSERT_TRUE(io::replace_file(input, std::string(1000, 'x')));
  Collector collector;
  wire::UnitActivity seen;
  {
    const Reader reader(input, 250);
    for (int i = 0; i < 100 && seen.done() == 0; ++i) {
      seen = collector.unit("u", reader.pid(), 1, "reads:" + input, i);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_DOUBLE_EQ(seen.done(), 250);
    EXPECT_DOUBLE_EQ(seen.total(), 1000);
    EXPECT_EQ(seen.source(), "reads");
    EXPECT_EQ(seen.threads(), threads_of(reader.pid()));
  }
  // It has closed the file, or ended: what was seen holds.
  EXPECT_DOUBLE_EQ(collector.unit("u", 0, 1, "reads:" + input, 200).done(), 250);
  collector.keep_only({});
  EXPECT_DOUBLE_EQ(collector.unit("u", 0, 1, "reads:" + input, 201).done(), 0);
}

TEST(Collector, reads_what_a_program_says_and_nothing_that_is_no_file) {
  const auto made = TemporaryFolder::make("godwit-collect");
  ASSERT_TRUE(made);
  const std::string folder = made->path();
  const std::string said = folder + "/said", pipe = folder + "/pipe";
  ASSERT_TRUE(io::replace_file(said, "7 10\n"));
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  Collector collector;
  EXPECT_DOUBLE_EQ(collector.unit("u", ::getpid(), 1, "file:" + said, 1).done(), 7);
  EXPECT_EQ(collector.unit("u", ::getpid(), 1, "file:" + said, 2).source(), "said");
  EXPECT_DOUBLE_EQ(collector.unit("v", ::getpid(), 1, "file:" + pipe, 1).total(), 0);
  EXPECT_DOUBLE_EQ(collector.unit("w", ::getpid(), 1, "file:" + folder, 1).total(), 0);
  EXPECT_DOUBLE_EQ(collector.unit("x", ::getpid(), 1, "file:said", 1).total(), 0);
}

TEST(Collector, has_a_budget_for_descriptors_and_goes_on_where_it_stopped) {
  const auto made = TemporaryFolder::make("godwit-collect");
  ASSERT_TRUE(made);
  const std::string folder = made->path(), proc = folder + "/proc", input = folder + "/input";
  ASSERT_TRUE(io::replace_file(input, std::string(1000, 'x')));
  const auto process = [&](int pid, int descriptors, const std::string& children) {
    const std::string dir = proc + "/" + std::to_string(pid);
    for (const char* sub : {"/fd", "/fdinfo"}) std::filesystem::create_directories(dir + sub);
    std::filesystem::create_directories(dir + "/task/" + std::to_string(pid));
    ASSERT_TRUE(io::replace_file(dir + "/task/" + std::to_string(pid) + "/children", children));
    std::filesystem::create_directory_symlink("/", dir + "/root");
    for (int i = 0; i < descriptors; ++i)
      std::filesystem::create_symlink("/dev/null", dir + "/fd/" + std::to_string(i));
  };
  // The first has more than a look is allowed, the second reads the input.
  process(100, static_cast<int>(Budget::kOfUnit), "101 102");
  process(101, 3, ""), process(102, 3, "");
  std::filesystem::create_symlink(input, proc + "/102/fd/7");
  ASSERT_TRUE(io::replace_file(proc + "/102/fdinfo/7", "pos:\t400\n"));
  Collector collector(proc);
  EXPECT_DOUBLE_EQ(collector.unit("u", 100, 1, "reads:" + input, 1).done(), 0);
  EXPECT_DOUBLE_EQ(collector.unit("u", 100, 1, "reads:" + input, 2).done(), 400);
}

TEST(Budget, is_shared_by_units_but_never_nothing) {
  EXPECT_EQ(Budget::of_one(1).left(), Budget::kOfUnit);
  EXPECT_EQ(Budget::of_one(16).left(), Budget::kOfAll / 16);
  EXPECT_EQ(Budget::of_one(100'000).left(), Budget::kLeast);
  Budget one(1);
  EXPECT_TRUE(one.take());
  EXPECT_FALSE(one.take());
  EXPECT_FALSE(one.take());
}

TEST(Collector, counts_within_the_cgroup_that_limits_it) {
  const auto made = TemporaryFolder::make("godwit-collect");
  ASSERT_TRUE(made);
  const std::string root = made->path();
  std::filesystem::create_directories(root + "/proc/self");
  std::filesystem::create_directories(root + "/cg/a/b");
  ASSERT_TRUE(io::replace_file(root + "/proc/self/cgroup", "0::/a/b\n"));
  ASSERT_TRUE(io::replace_file(root + "/cg/cgroup.controllers", "cpu memory\n"));
  ASSERT_TRUE(io::replace_file(root + "/cg/a/b/cpu.max", "max 100000\n"));
  ASSERT_TRUE(io::replace_file(root + "/cg/a/cpu.max", "25000 100000\n"));
  ASSERT_TRUE(io::replace_file(root + "/cg/a/cpu.pressure", "some avg10=7.00 avg60=0 avg300=0 total=0\n"));
  Collector collector(root + "/proc", root + "/cg");
  const auto usage = [&](int us) {
    return io::replace_file(root + "/cg/a/cpu.stat", "usage_usec " + std::to_string(us) + "\nuser_usec 0\n");
  };
  ASSERT_TRUE(usage(1'000'000));
  EXPECT_DOUBLE_EQ(collector.node(1).cpus(), 0.25);
  ASSERT_TRUE(usage(1'200'000));
  const auto node = collector.node(2);
  EXPECT_NEAR(node.cpu_busy(), 0.2, 1e-9);
  EXPECT_DOUBLE_EQ(node.cpu_pressure(), 7);

  // The old hierarchy, with its two controllers apart.
  std::filesystem::create_directories(root + "/old/cpu/x");
  std::filesystem::create_directories(root + "/old/cpuacct/x");
  ASSERT_TRUE(io::replace_file(root + "/proc/self/cgroup", "2:cpuacct:/x\n1:cpu:/x\n0::/\n"));
  ASSERT_TRUE(io::replace_file(root + "/old/cpu/x/cpu.cfs_quota_us", "50000\n"));
  ASSERT_TRUE(io::replace_file(root + "/old/cpu/x/cpu.cfs_period_us", "100000\n"));
  ASSERT_TRUE(io::replace_file(root + "/old/cpuacct/x/cpuacct.usage", "1000000000\n"));
  Collector old(root + "/proc", root + "/old");
  EXPECT_DOUBLE_EQ(old.node(1).cpus(), 0.5);
  ASSERT_TRUE(io::replace_file(root + "/old/cpuacct/x/cpuacct.usage", "1300000000\n"));
  EXPECT_NEAR(old.node(2).cpu_busy(), 0.3, 1e-9);
}

TEST(Collector, has_rates_from_the_second_look_on) {
  Collector collector;
  EXPECT_DOUBLE_EQ(collector.unit("u", 0, 10, "", 0).cpu_rate(), 0);
  EXPECT_DOUBLE_EQ(collector.unit("u", 0, 12, "", 1).cpu_rate(), 2);
}

TEST(Collector, knows_this_machine) {
  Collector collector;
  const auto node = collector.node(0);
  EXPECT_GT(node.speed(), 0.01);
  EXPECT_GT(node.cpus(), 0);
  printf("  speed %.2f, %.1f CPUs, pressure %.1f %.1f %.1f\n", node.speed(), node.cpus(), node.cpu_pressure(),
         node.memory_pressure(), node.io_pressure());
}

}  // namespace
}  // namespace godwit::node
