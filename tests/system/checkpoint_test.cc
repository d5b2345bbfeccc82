// Checkpoints of units on a grid: kept, copied to a second node, restored where neither the unit's node nor its work
// directory is; and a checkpoint that fails leaves the unit as it was.
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "grid.h"

namespace godwit::test {
namespace {

using nlohmann::json;

class CheckpointTest : public OnGrid<3> {
 protected:
  void SetUp() override {
    OnGrid::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    char name[] = "/tmp/godwit_work_XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    work_ = name;
  }
  void TearDown() override { (void)sys::remove_tree(work_); }

  // Prints `lines` numbers, one each 10 ms, and writes the same into a file of its work directory. At its end the file
  // must hold what it printed: else it exits with 9.
  void run(const std::string& name, const std::string& node, int lines) const {
    const std::string n = std::to_string(lines);
    const std::string program = "import sys,time\nf=open('log','w')\nfor i in range(" + n +
                                "):\n  print(i,flush=True)\n  print(i,file=f,flush=True)\n  time.sleep(0.01)\n"
                                "sys.exit(0 if open('log').read().split()==[str(i) for i in range(" +
                                n + ")] else 9)";
    const auto ran =
        grid().godwit({"run", "--name", name, "--node", node, "--dir", work_, "--", "/usr/bin/python3", "-c", program});
    ASSERT_EQ(ran.status, 0) << ran.err;
  }
  static std::string logs(const std::string& unit) { return grid().godwit({"logs", unit}).out; }
  static bool has_printed(const std::string& unit, int line) {
    return eventually([&] { return logs(unit).find("\n" + std::to_string(line) + "\n") != std::string::npos; });
  }
  static std::string state_of(const std::string& unit) {
    for (const auto& u : json::parse(grid().godwit({"ps", "--all", "--json"}).out, nullptr, false))
      if (u.value("name", "") == unit) return u.value("state", "");
    return {};
  }
  static std::string images(const std::string& node) { return grid().state() + "/nodes/" + node + "/images"; }
  /// How many pieces of content its store has.
  static size_t chunks(const std::string& node) {
    size_t count = 0;
    std::error_code none;
    for (const auto& file : std::filesystem::recursive_directory_iterator(images(node) + "/chunks", none))
      count += file.path().filename().string().size() == 64 ? 1 : 0;
    return count;
  }
  static void expect_whole(const std::string& unit, int lines) {
    const auto waited = grid().godwit({"wait", unit});
    EXPECT_EQ(waited.status, 0) << waited.out << waited.err;
    std::string wanted;
    for (int i = 0; i < lines; i++) wanted += std::to_string(i) + "\n";
    const auto out = logs(unit);
    EXPECT_TRUE(out == wanted) << out.size() << " bytes of output, wanted " << wanted.size();
  }
  std::string work_;
};

TEST_F(CheckpointTest, a_unit_goes_on_from_its_checkpoint_after_its_node_died) {
  run("phoenix", "node-1", 400);
  ASSERT_TRUE(has_printed("phoenix", 50));
  const auto taken = grid().godwit({"checkpoint", "phoenix", "--json"});
  ASSERT_EQ(taken.status, 0) << taken.err;
  const auto history = json::parse(grid().godwit({"history", "phoenix", "--json"}).out, nullptr, false);
  ASSERT_EQ(history.size(), 1u);
  EXPECT_EQ(history[0]["nodes"].size(), 2u) << history.dump();
  ASSERT_TRUE(has_printed("phoenix", 100));

  grid().crash("node-1");
  ASSERT_TRUE(eventually([] { return state_of("phoenix") == "lost"; }, std::chrono::seconds(60)));
  const auto restored = grid().godwit({"restore", "phoenix@1", "--node", "node-3"});
  ASSERT_EQ(restored.status, 0) << restored.err;
  expect_whole("phoenix", 400);
  grid().boot("node-1");
}

TEST_F(CheckpointTest, a_branch_from_a_file_leaves_the_running_unit_and_its_directory_alone) {
  run("trunk", "node-2", 300);
  ASSERT_TRUE(has_printed("trunk", 20));
  const std::string file = work_ + ".image";
  const auto taken = grid().godwit({"checkpoint", "trunk", "-o", file});
  ASSERT_EQ(taken.status, 0) << taken.err;
  const auto restored = grid().godwit({"restore", file, "--branch", "--name", "twig", "--node", "node-2"});
  EXPECT_EQ(restored.status, 0) << restored.err;
  expect_whole("trunk", 300);
  expect_whole("twig", 300);
  (void)sys::unlink(file);
}

TEST_F(CheckpointTest, forgotten_ones_leave_the_history_and_the_others_can_still_be_gone_back_to) {
  run("many", "node-2", 600);
  for (int i = 1; i <= 4; i++) {
    ASSERT_TRUE(has_printed("many", 20 * i));
    const auto taken = grid().godwit({"checkpoint", "many"});
    ASSERT_EQ(taken.status, 0) << taken.err;
  }
  const auto numbers = [] {
    std::vector<int> out;
    for (const auto& c : json::parse(grid().godwit({"history", "many", "--json"}).out, nullptr, false))
      out.push_back(c["number"]);
    return out;
  };
  EXPECT_EQ(grid().godwit({"forget", "many@4"}).status, 3);  // what it would be brought back from
  EXPECT_EQ(grid().godwit({"forget", "many@9"}).status, 2);
  EXPECT_EQ(grid().godwit({"forget", "many"}).status, 2);
  EXPECT_EQ(numbers(), (std::vector<int>{1, 2, 3, 4}));
  const auto one = grid().godwit({"forget", "many@2"});
  EXPECT_EQ(one.status, 0) << one.err;
  EXPECT_EQ(numbers(), (std::vector<int>{1, 3, 4}));
  const auto most = grid().godwit({"forget", "many", "--keep", "2", "--json"});
  EXPECT_EQ(most.status, 0) << most.err;
  EXPECT_EQ(json::parse(most.out, nullptr, false)["forgotten"].size(), 1u) << most.out;
  EXPECT_EQ(numbers(), (std::vector<int>{3, 4}));
  EXPECT_NE(grid().godwit({"restore", "many@1", "--branch"}).status, 0);
  const auto restored = grid().godwit({"restore", "many@3", "--branch", "--name", "third"});
  EXPECT_EQ(restored.status, 0) << restored.err;
  expect_whole("many", 600);
  expect_whole("third", 600);
}

TEST_F(CheckpointTest, an_encrypted_file_is_restored_with_its_key_and_with_no_other) {
  run("secret", "node-2", 200);
  ASSERT_TRUE(has_printed("secret", 20));
  const std::string file = work_ + ".sealed", key = work_ + ".key", other = work_ + ".other";
  for (const auto& path : {key, other}) ASSERT_EQ(grid().godwit({"key", "new", "--sealing", "--out", path}).status, 0);
  const auto restore = [&](const std::string& name, const std::string& with) {
    return grid().godwit({"restore", file, "--branch", "--name", name, "--node", "node-2", "--key", with});
  };
  const auto taken = grid().godwit({"checkpoint", "secret", "-o", file, "--encrypt", key + ".pub"});
  ASSERT_EQ(taken.status, 0) << taken.err;
  const std::string bytes = io::read_file(file, 1u << 30).value_or("");
  ASSERT_TRUE(bytes.starts_with("GODWITSE"));
  EXPECT_EQ(bytes.find("GODWITIM"), std::string::npos);
  EXPECT_EQ(restore("wrong", other).status, 3);
  // Cut between two chunks: all that is there verifies, and nothing starts.
  ASSERT_TRUE(io::replace_file(file, bytes.substr(0, 80 + 65536 + 16)));
  EXPECT_NE(restore("cut", key).status, 0);
  std::string altered = bytes;
  altered[altered.size() / 2] ^= 1;
  ASSERT_TRUE(io::replace_file(file, altered));
  EXPECT_NE(restore("altered", key).status, 0);
  ASSERT_TRUE(io::replace_file(file, bytes));
  const auto restored = restore("twin", key);
  EXPECT_EQ(restored.status, 0) << restored.err;
  for (const char* name : {"wrong", "cut", "altered"}) EXPECT_EQ(state_of(name), "") << name;
  expect_whole("secret", 200);
  expect_whole("twin", 200);
  for (const auto& path : {file, key, key + ".pub", other, other + ".pub"}) (void)sys::unlink(path);
}

// In the grid's own history: on no node's disk is anything of it that could be read.
TEST_F(CheckpointTest, an_encrypted_checkpoint_is_in_the_history_and_nobody_but_its_owner_reads_it) {
  const std::string key = work_ + ".key", other = work_ + ".other";
  for (const auto& path : {key, other}) ASSERT_EQ(grid().godwit({"key", "new", "--sealing", "--out", path}).status, 0);
  run("hidden", "node-2", 300);
  ASSERT_TRUE(has_printed("hidden", 20));
  std::map<std::string, size_t> before;
  for (const char* node : {"node-1", "node-2", "node-3"}) before[node] = chunks(node);
  const auto taken = grid().godwit({"checkpoint", "hidden", "--encrypt", key + ".pub", "--json"});
  ASSERT_EQ(taken.status, 0) << taken.err;
  const auto listed = json::parse(grid().godwit({"history", "hidden", "--json"}).out, nullptr, false);
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0]["nodes"].size(), 2u);
  EXPECT_EQ(listed[0]["sealed_to"].get<std::string>().size(), 64u);
  EXPECT_NE(grid().godwit({"history", "hidden"}).out.find("(encrypted)"), std::string::npos);

  // Neither as a checkpoint nor as content that no checkpoint names: the stores hold what they held.
  const auto expect_hidden = [&](const char* when) {
    for (const char* node : {"node-1", "node-2", "node-3"}) {
      const std::string id = listed[0]["unit"];
      EXPECT_FALSE(sys::stat(images(node) + "/history/" + id + "/1")) << node << when;
      EXPECT_TRUE(eventually([&] { return chunks(node) == before[node]; })) << node << when;
    }
  };
  expect_hidden(" when it was taken");
  const auto restore = [&](const std::string& name, std::vector<std::string> more) {
    std::vector<std::string> words = {"restore", "hidden@1", "--branch", "--name", name, "--node", "node-3"};
    words.insert(words.end(), more.begin(), more.end());
    return grid().godwit(words);
  };
  EXPECT_EQ(restore("wrong", {"--key", other}).status, 3);
  EXPECT_EQ(state_of("wrong"), "");
  const auto restored = restore("found", {"--key", key});
  EXPECT_EQ(restored.status, 0) << restored.err;
  expect_hidden(" when it was restored");
  expect_whole("hidden", 300);
  expect_whole("found", 300);
  EXPECT_EQ(grid().godwit({"checkpoint", "hidden", "--encrypt", "nonsense"}).status, 2);
  EXPECT_EQ(grid().godwit({"forget", "hidden@1"}).status, 0);
  for (const char* node : {"node-1", "node-2", "node-3"})
    EXPECT_TRUE(sys::list_dir(images(node) + "/sealed").value_or(std::vector<std::string>()).empty()) << node;
  for (const auto& path : {key, key + ".pub", other, other + ".pub"}) (void)sys::unlink(path);
}

TEST_F(CheckpointTest, an_image_file_that_was_damaged_is_refused_and_starts_nothing) {
  run("whole", "node-2", 200);
  const std::string file = work_ + ".image";
  ASSERT_EQ(grid().godwit({"checkpoint", "whole", "-o", file}).status, 0);
  ASSERT_EQ(grid().godwit({"kill", "whole"}).status, 0);
  auto bytes = io::read_file(file, 1u << 30);
  ASSERT_TRUE(bytes);
  bytes->at(bytes->size() / 2) ^= 1;
  ASSERT_TRUE(io::replace_file(file, *bytes));
  const auto flipped = grid().godwit({"restore", file, "--branch", "--name", "flipped"});
  bytes->resize(bytes->size() / 2);
  ASSERT_TRUE(io::replace_file(file, *bytes));
  const auto cut = grid().godwit({"restore", file, "--branch", "--name", "cut"});
  EXPECT_NE(cut.status, 0);
  EXPECT_EQ(state_of("cut"), "");
  EXPECT_NE(flipped.status, 0);
  EXPECT_EQ(state_of("flipped"), "");
  (void)sys::unlink(file);
}

TEST_F(CheckpointTest, one_that_fails_while_the_unit_stands_lets_it_run_on) {
  run("steady", "node-3", 200);
  ASSERT_TRUE(has_printed("steady", 10));
  const auto armed = grid().godwit({"arm", "checkpoint.captured:fail", "--node", "node-3"});
  ASSERT_EQ(armed.status, 0) << armed.err;
  EXPECT_NE(grid().godwit({"checkpoint", "steady"}).status, 0);
  (void)grid().godwit({"arm", "", "--node", "node-3"});
  EXPECT_TRUE(json::parse(grid().godwit({"history", "steady", "--json"}).out, nullptr, false).empty());
  expect_whole("steady", 200);
}

}  // namespace
}  // namespace godwit::test
