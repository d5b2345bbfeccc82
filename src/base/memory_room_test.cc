#include "base/memory_room.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/sys.h"

namespace godwit {
namespace {

// A made-up machine: the files of /proc and of the control groups below a directory.
class MemoryRoom : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/godwit_room_XXXXXX";
    root_ = ::mkdtemp(name);
    put("/proc/meminfo", "MemTotal:  16384 kB\nMemFree:  10 kB\nMemAvailable:    8192 kB\n");
  }
  void TearDown() override { (void)sys::remove_tree(root_); }
  void put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(sys::make_dirs(root_ + path.substr(0, path.rfind('/'))));
    ASSERT_TRUE(io::replace_file(root_ + path, text));
  }
  std::string root_;
};

TEST_F(MemoryRoom, is_what_the_machine_has_without_control_groups) { EXPECT_EQ(memory_room(root_), 8192u << 10); }

TEST_F(MemoryRoom, has_no_bound_where_nothing_can_be_read) { EXPECT_EQ(memory_room(root_ + "/nothing"), UINT64_MAX); }

TEST_F(MemoryRoom, is_the_least_of_all_groups_above_in_version_2) {
  put("/proc/self/cgroup", "0::/a/b\n");
  put("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  put("/sys/fs/cgroup/a/b/memory.max", "max\n");
  put("/sys/fs/cgroup/a/b/memory.current", "500000\n");
  EXPECT_EQ(memory_room(root_), 8192u << 10);
  put("/sys/fs/cgroup/a/memory.max", "4000000\n");
  put("/sys/fs/cgroup/a/memory.current", "3000000\n");
  put("/sys/fs/cgroup/a/memory.stat", "anon 900000\nfile 200000\nactive_file 7\ninactive_file 100000\n");
  EXPECT_EQ(memory_room(root_), 1'100'000u);
  put("/sys/fs/cgroup/a/memory.current", "5000000\n");  // a limit that was lowered
  EXPECT_EQ(memory_room(root_), 0u);
}

TEST_F(MemoryRoom, knows_version_1_and_a_hierarchy_of_which_a_part_is_mounted) {
  put("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/docker/x/job\n0::/\n");
  put("/proc/self/mountinfo",
      "28 20 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
      "30 20 0:26 /docker/x /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,cpu,memory\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n");
  put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "3000000\n");
  put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1000000\n");
  put("/sys/fs/cgroup/memory/job/memory.stat", "inactive_file 5\ntotal_inactive_file 250000\n");
  EXPECT_EQ(memory_room(root_), 2'250'000u);
}

}  // namespace
}  // namespace godwit
