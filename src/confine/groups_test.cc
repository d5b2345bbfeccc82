#include "confine/groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/io.h"
#include "base/sys.h"
#include "base/temporary_folder.h"

namespace godwit::confine {
namespace {

using ::testing::HasSubstr;

/// A machine of files: /proc/self, and control groups that are plain directories.
class PlaceFor : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(sys::make_dirs(root() + path.substr(0, path.rfind('/'))));
    ASSERT_TRUE(io::replace_file(root() + path, text));
  }
  void second_version(const std::string& own) {
    put("/proc/self/cgroup", "0::" + own + "\n");
    put("/proc/self/mountinfo", "30 20 0:26 / /cg rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void group(const std::string& dir, const std::string& passes_on, const std::string& processes) {
    if (dir != "/cg") put(dir + "/cgroup.type", "domain\n");
    put(dir + "/cgroup.controllers", "cpu memory pids\n");
    put(dir + "/cgroup.subtree_control", passes_on);
    put(dir + "/cgroup.procs", processes);
    put(dir + "/memory.max", "max\n");
  }
  /// The directory, without the root; or the error.
  std::string where(std::string_view controller, const Controllers& wanted) {
    const auto place = place_for(controller, wanted, root());
    if (!place) return place.error().message();
    return place->dir.substr(root().size()) + (place->enable ? " to be enabled" : "");
  }
  std::string root() const { return folder_.path(); }
  TemporaryFolder folder_ = *TemporaryFolder::make("godwit-groups");
};

TEST_F(PlaceFor, is_below_the_nodes_own_group_where_groups_have_processes_and_groups_below_them) {
  put("/proc/self/cgroup", "9:pids:/\n4:memory:/docker/x/job\n3:cpu,cpuacct:/a\n0::/\n");
  put("/proc/self/mountinfo",
      "35 31 0:32 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
      "36 31 0:33 /docker/x /cg/memory rw - cgroup cgroup rw,memory\n"
      "39 31 0:36 / /cg/pids rw - cgroup cgroup rw,pids\n41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n");
  for (const char* dir : {"/cg/cpu/a", "/cg/memory/job", "/cg/pids", "/cg/unified"})
    ASSERT_TRUE(sys::make_dirs(root() + dir));
  const Controllers all = {kCpu, kMemory, kProcesses};
  EXPECT_EQ(where(kCpu, all), "/cg/cpu/a");
  EXPECT_EQ(where(kMemory, all), "/cg/memory/job");
  EXPECT_EQ(where(kProcesses, all), "/cg/pids");
  EXPECT_EQ(where({}, all), "/cg/unified");
}

TEST_F(PlaceFor, is_above_a_group_with_processes_where_those_forbid_groups_below) {
  second_version("/system.slice/godwit.service");
  group("/cg", "cpu memory pids\n", "");
  group("/cg/system.slice", "memory pids\n", "");
  group("/cg/system.slice/godwit.service", "", "17\n");
  EXPECT_EQ(where(kMemory, {kMemory, kProcesses}), "/cg/system.slice");
  EXPECT_EQ(where(kCpu, {kCpu}), "/cg/system.slice to be enabled");
  EXPECT_EQ(where({}, {}), "/cg/system.slice/godwit.service");
  EXPECT_EQ(where({}, {kMemory}), "/cg/system.slice");  // one group for all of it
}

TEST_F(PlaceFor, is_none_where_the_unit_would_escape_a_limit_of_the_node) {
  second_version("/godwit");
  group("/cg", "cpu memory pids\n", "");
  group("/cg/godwit", "", "17\n");
  EXPECT_EQ(where(kProcesses, {kProcesses}), "/cg");
  put("/cg/godwit/memory.max", "1000000\n");
  EXPECT_THAT(where(kProcesses, {kProcesses}), HasSubstr("/cg/godwit has processes"));
}

TEST_F(PlaceFor, is_none_without_the_controller) {
  second_version("/");
  put("/cg/cgroup.controllers", "cpu\n");
  put("/cg/cgroup.subtree_control", "");
  EXPECT_THAT(where(kMemory, {kMemory}), HasSubstr("not all of the controllers"));
  put("/proc/self/mountinfo", "");
  EXPECT_THAT(where(kMemory, {kMemory}), HasSubstr("no cgroup 2"));
}

}  // namespace
}  // namespace godwit::confine
