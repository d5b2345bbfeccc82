// A process tree that takes another shape while it is moved: the move is given up, and tried again by itself.
#include <signal.h>

#include "grid.h"
#include "proc_table.h"

namespace godwit::test {
namespace {

class ChangingTree : public OnGrid<2> {};

TEST_F(ChangingTree, a_move_that_met_a_change_is_tried_again) {
  // The shell in the middle will die and leave its child to the unit's init.
  const char* script = "sh -c 'sleep 1000 & wait; exit' & while :; do echo x; sleep 0.05; done";
  char work[] = "/tmp/godwit_tree_XXXXXX";
  ASSERT_NE(::mkdtemp(work), nullptr);
  auto ran = grid().godwit(
      {"run", "--name", "tree", "--node", "node-1", "--dir", work, "--cwd", work, "--", "/bin/sh", "-c", script});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const pid_t holder = grid().member("node-1").holder_pid;
  // Its parent has its words, too. It has a child by now.
  const auto middle = [&] {
    const auto table = ProcTable::read();
    const auto shells = table.find(holder, "sleep 1000 & wait; exit");
    for (const auto& shell : shells)
      for (const auto& parent : shells)
        if (shell.parent == parent.pid && !table.find(shell.pid, "sleep 1000").empty()) return shell.pid;
    return 0;
  };
  ASSERT_TRUE(eventually([&] { return middle() > 0; }));
  ASSERT_EQ(grid().godwit({"arm", "source.precopy:stall", "--node", "node-1"}).status, 0);
  std::thread accident([&] {
    const std::string log =
        grid().state() + "/nodes/node-1/units/" + ran.out.substr(0, ran.out.find('\n')) + "/keeper.log";
    EXPECT_TRUE(
        eventually([&] { return io::read_file(log).value_or("").find("source.precopy: stall") != std::string::npos; }));
    ::kill(middle(), SIGKILL);
    EXPECT_EQ(grid().godwit({"arm", "", "--node", "node-1"}).status, 0);
    ::kill(ProcTable::read().first(holder, "godwit-keeper --unit"), SIGCONT);
  });
  const auto moved = grid().godwit({"move", "tree", "--to", "node-2"});
  accident.join();
  EXPECT_EQ(moved.status, 0) << moved.err;
  const std::string log = io::read_file(grid().state() + "/controller/controller.log").value_or("");
  EXPECT_NE(log.find("changed its shape"), std::string::npos);
  EXPECT_EQ(grid().godwit({"kill", "tree"}).status, 0);
  (void)sys::remove_tree(work);
}

}  // namespace
}  // namespace godwit::test
