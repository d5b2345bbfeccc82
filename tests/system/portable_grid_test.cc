// Portable programs on a grid of three architectures, two of them emulated: they go round, into a checkpoint and out of it; what
// can't go is refused by name and goes on.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "grid.h"
#include "proc_table.h"
#include "steady.h"

namespace godwit::test {
namespace {

using nlohmann::json;

class PortableGrid : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { grid_ = new Grid(3, {}, GODWIT_BIN, {}, {"x86_64", "aarch64", "riscv64"}); }
  static void TearDownTestSuite() { delete std::exchange(grid_, nullptr); }
  void SetUp() override {
    if (::access(GODWIT_PORTABLE "steady", X_OK) != 0)
      GTEST_SKIP() << "needs a build with the portable engine (llvm-19-dev)";
    REQUIRE_GRID(*grid_);
  }
  static Ran godwit(const std::vector<std::string>& words) { return grid_->godwit(words); }
  static void must(const std::vector<std::string>& words) {
    const auto ran = godwit(words);
    ASSERT_EQ(ran.status, 0) << fmt::format("{}", fmt::join(words, " ")) << "\n" << ran.out << ran.err;
  }
  static std::string logs(const std::string& unit) { return godwit({"logs", unit}).out; }
  static bool prints_on(const std::string& unit) {
    const size_t before = logs(unit).size();
    return eventually([&] { return logs(unit).size() > before; });
  }
  static void expect_whole(const std::string& unit, size_t megabytes) {
    must({"signal", unit, "TERM"});
    EXPECT_EQ(godwit({"wait", unit, "--timeout", "30"}).status, 0);
    const std::string found = logs(unit);
    Steady plain(megabytes);
    std::string expected;
    while (expected.size() < found.size()) expected += plain.next();
    EXPECT_TRUE(found == expected && !found.empty()) << found.size() << " bytes of output";
  }

  inline static Grid* grid_ = nullptr;
};

TEST_F(PortableGrid, a_program_goes_round_and_through_checkpoints) {
  char work[] = "/tmp/godwit_portable_XXXXXX";
  ASSERT_NE(::mkdtemp(work), nullptr);
  must({"run", "--name", "round", "--node", "node-1", "--dir", work, "--cwd", work, "--", GODWIT_PORTABLE "steady", "m",
        "3"});
  ASSERT_TRUE(prints_on("round"));
  for (const char* node : {"node-2", "node-3", "node-1", "node-3"}) {
    const auto moved = godwit({"move", "round", "--to", node, "--json"});
    ASSERT_EQ(moved.status, 0) << node << ": " << moved.out << moved.err;
    EXPECT_EQ(json::parse(moved.out).at("to"), node);
    EXPECT_TRUE(prints_on("round")) << node;
  }
  must({"checkpoint", "round"});
  EXPECT_TRUE(prints_on("round"));
  must({"kill", "round"});
  EXPECT_EQ(godwit({"wait", "round", "--timeout", "30"}).status, 1);
  must({"restore", "round@1", "--node", "node-2"});
  EXPECT_TRUE(prints_on("round"));
  const std::string file = std::string(work) + ".image";
  must({"checkpoint", "round", "-o", file});
  must({"move", "round", "--to", "node-1", "--stop"});
  expect_whole("round", 3);
  must({"restore", file, "--node", "node-1"});
  EXPECT_TRUE(prints_on("round"));
  expect_whole("round", 3);
  (void)sys::unlink(file);
  (void)sys::remove_tree(work);
}

struct Case {
  const char* what;
  const char* code;
};
class PortableRefusal : public PortableGrid, public ::testing::WithParamInterface<Case> {};

TEST_P(PortableRefusal, names_the_object_and_leaves_the_program_running) {
  const auto [what, code] = GetParam();
  must({"run", "--name", what, "--node", "node-1", "--", GODWIT_PORTABLE "blocker", what});
  ASSERT_TRUE(eventually([&] { return logs(what) == "ready\n"; }));
  const auto checked = godwit({"check", what, "--to", "node-2", "--json"});
  EXPECT_EQ(checked.status, 3) << checked.out;
  EXPECT_NE(checked.out.find(code), std::string::npos) << checked.out;
  const auto moved = godwit({"move", what, "--to", "node-2"});
  EXPECT_EQ(moved.status, 3);
  EXPECT_NE(moved.err.find(code), std::string::npos) << moved.err;
  EXPECT_NE(godwit({"show", what}).out.find("running"), std::string::npos);
  // Kept for machines like this one it can be.
  must({"checkpoint", what});
  must({"kill", what});
  EXPECT_EQ(godwit({"wait", what, "--timeout", "30"}).status, 1);
  const auto elsewhere = godwit({"restore", std::string(what) + "@1", "--node", "node-2"});
  EXPECT_EQ(elsewhere.status, 3);
  EXPECT_NE(elsewhere.err.find("aarch64"), std::string::npos) << elsewhere.err;
  must({"restore", std::string(what) + "@1", "--node", "node-1"});
  EXPECT_NE(godwit({"show", what}).out.find("running"), std::string::npos);
  must({"kill", what});
}

INSTANTIATE_TEST_SUITE_P(Objects, PortableRefusal,
                         ::testing::Values(Case{"pipe", "portable-descriptor"}, Case{"gone", "portable-file-gone"},
                                           Case{"child", "portable-child"}),
                         [](const auto& test) { return std::string(test.param.what); });

TEST_F(PortableGrid, a_program_whose_file_is_gone_is_refused_until_it_is_back) {
  const std::string program = "/tmp/godwit_gone_" + std::to_string(::getpid()), aside = program + ".aside";
  ASSERT_EQ(run_program({"/bin/cp", GODWIT_PORTABLE "blocker", program}).status, 0);
  must({"run", "--name", "lone", "--node", "node-1", "--with", program, "--", program, "none"});
  ASSERT_TRUE(eventually([&] { return logs("lone") == "ready\n"; }));
  ASSERT_EQ(::rename(program.c_str(), aside.c_str()), 0);
  const auto moved = godwit({"move", "lone", "--to", "node-2"});
  EXPECT_EQ(moved.status, 3) << moved.err;
  EXPECT_NE(moved.err.find("portable-program-gone"), std::string::npos) << moved.err;
  ASSERT_EQ(::rename(aside.c_str(), program.c_str()), 0);
  must({"move", "lone", "--to", "node-2"});
  must({"kill", "lone"});
  (void)sys::unlink(program);
}

TEST_F(PortableGrid, other_programs_stay_off_emulated_nodes) {
  const auto named = godwit({"run", "--node", "node-2", "--", "/bin/sleep", "1"});
  EXPECT_EQ(named.status, 3);
  EXPECT_NE(named.err.find("emulated aarch64"), std::string::npos) << named.err;
  // A script's file doesn't say where it can run: the node looks.
  const auto script = godwit({"run", "--node", "node-2", "--", "/usr/bin/which", "sh"});
  EXPECT_EQ(script.status, 3);
  EXPECT_NE(script.err.find("portable"), std::string::npos) << script.err;
  must({"run", "--name", "plain", "--", "/bin/sleep", "1000"});
  const auto ps = json::parse(godwit({"ps", "--json"}).out);
  for (const auto& unit : ps) {
    if (unit.at("name") != "plain") continue;
    EXPECT_EQ(unit.at("node"), "node-1");
  }
  const auto moved = godwit({"move", "plain", "--to", "node-3"});
  EXPECT_EQ(moved.status, 3);
  EXPECT_NE(moved.err.find("godwit cc"), std::string::npos) << moved.err;
  must({"kill", "plain"});
}

}  // namespace
}  // namespace godwit::test
