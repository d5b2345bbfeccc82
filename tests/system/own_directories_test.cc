// What a unit has for itself on a node: two with the same names don't meet, and the node keeps nothing of theirs.
#include <unistd.h>

#include <algorithm>

#include "grid.h"

namespace godwit::test {
namespace {

class OwnDirectoriesTest : public OnGrid<2> {
 protected:
  void TearDown() override { (void)::unlink(object_.c_str()); }

  // A unit that makes the object, which must be new, and counts in it; it exits with 9 when it finds another's count.
  void run(const std::string& name, int lines) const {
    const std::string program =
        "import mmap,os,sys,time\n"
        "fd=os.open('" +
        object_ +
        "',os.O_RDWR|os.O_CREAT|os.O_EXCL,0o600)\n"
        "os.ftruncate(fd,1<<20)\nm=mmap.mmap(fd,1<<20)\nos.close(fd)\n"
        "m[5000:5000+" +
        std::to_string(name.size()) + "]=b'" + name +
        "'\n"
        "for i in range(" +
        std::to_string(lines) +
        "):\n"
        "  if int.from_bytes(m[0:4],'little')!=i: sys.exit(9)\n"
        "  m[0:4]=(i+1).to_bytes(4,'little')\n"
        "  print(i,flush=True)\n  time.sleep(0.01)\n"
        "print(m[5000:5000+" +
        std::to_string(name.size()) +
        "].decode())\n"
        "os.unlink('" +
        object_ + "')\n";
    const auto ran =
        grid().godwit({"run", "--name", name, "--node", "node-1", "--", "/usr/bin/python3", "-c", program});
    ASSERT_EQ(ran.status, 0) << ran.err;
  }
  static std::string logs(const std::string& unit) { return grid().godwit({"logs", unit}).out; }
  static void expect_whole(const std::string& unit, int lines, const std::string& mark) {
    EXPECT_EQ(grid().godwit({"wait", unit}).status, 0) << unit;
    std::string wanted;
    for (int i = 0; i < lines; i++) wanted += std::to_string(i) + "\n";
    EXPECT_TRUE(logs(unit) == wanted + mark + "\n") << unit << " printed " << logs(unit).size() << " bytes";
  }
  // The file systems of a node, without what else comes and goes on the machine that the grid shares.
  static size_t mounts_of(const std::string& node) {
    const auto text = io::read_file("/proc/" + std::to_string(grid().member(node).holder_pid) + "/mountinfo");
    return static_cast<size_t>(std::ranges::count(text.value_or(""), '\n'));
  }

  const std::string object_ = "/dev/shm/godwit-own-test-" + std::to_string(::getpid());
};

TEST_F(OwnDirectoriesTest, two_units_with_one_name_in_shared_memory_do_not_meet_and_the_node_sees_neither) {
  const size_t before[] = {mounts_of("node-1"), mounts_of("node-2")};
  run("one", 300);
  run("other", 300);
  ASSERT_TRUE(eventually([] { return !logs("one").empty() && !logs("other").empty(); }));
  EXPECT_FALSE(sys::lstat(object_));
  const auto moved = grid().godwit({"move", "one", "--to", "node-2"});
  EXPECT_EQ(moved.status, 0) << moved.err;
  EXPECT_FALSE(sys::lstat(object_));
  EXPECT_EQ(mounts_of("node-1"), before[0]);
  EXPECT_EQ(mounts_of("node-2"), before[1]);
  const auto back = grid().godwit({"move", "one", "--to", "node-1"});
  EXPECT_EQ(back.status, 0) << back.err;
  expect_whole("one", 300, "one");
  expect_whole("other", 300, "other");
  EXPECT_FALSE(sys::lstat(object_));
}

TEST_F(OwnDirectoriesTest, a_checkpoint_keeps_shared_memory_and_a_branch_has_its_own) {
  run("trunk", 300);
  ASSERT_TRUE(eventually([] { return logs("trunk").find("\n20\n") != std::string::npos; }));
  const auto kept = grid().godwit({"checkpoint", "trunk"});
  ASSERT_EQ(kept.status, 0) << kept.err;
  const auto branch = grid().godwit({"restore", "trunk", "--branch", "--name", "branch", "--node", "node-1"});
  EXPECT_EQ(branch.status, 0) << branch.err;
  expect_whole("trunk", 300, "trunk");
  expect_whole("branch", 300, "trunk");
  EXPECT_FALSE(sys::lstat(object_));
}

TEST_F(OwnDirectoriesTest, who_names_an_object_of_the_nodes_gets_the_nodes) {
  ASSERT_TRUE(io::replace_file(object_, "the node's\n", 0644));
  const auto ran = grid().godwit({"run", "--name", "reader", "--node", "node-1", "--", "/bin/cat", object_});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(grid().godwit({"wait", "reader"}).status, 0);
  EXPECT_EQ(logs("reader"), "the node's\n");
}

}  // namespace
}  // namespace godwit::test
