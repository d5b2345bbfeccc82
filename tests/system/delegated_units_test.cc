// Units that run under a user's document: where they may go, how often, and what the log says of it.
#include <nlohmann/json.hpp>

#include "grid.h"
#include "with_user_key.h"

namespace godwit::test {
namespace {

using nlohmann::json;

class DelegatedUnits : public WithUserKey {
 protected:
  /// A document for `sleep 1000`.
  std::string document(const Grid& grid, const std::string& policy) {
    const std::string file = dir_ + "/" + std::to_string(++count_) + ".delegation";
    EXPECT_TRUE(io::replace_file(dir_ + "/policy.json", policy));
    const auto made = grid.godwit(
        {"delegation", "new", "--policy", dir_ + "/policy.json", "--out", file, "--", "/bin/sleep", "1000"});
    EXPECT_EQ(made.status, 0) << made.err;
    return file;
  }
  static Ran run(const Grid& grid, const std::string& name, const std::string& file) {
    return grid.godwit({"run", "--name", name, "--node", "node-1", "--delegation", file, "--", "/bin/sleep", "1000"});
  }
  /// The code of the first blocker of a failure; "ok" without one.
  static std::string code(const Ran& ran) {
    if (ran.status == 0) return "ok";
    const json out = json::parse(ran.out, nullptr, false);
    if (!out.is_object() || !out.contains("error")) return ran.out + ran.err;
    return out["error"]["blockers"].empty() ? out["error"].dump() : std::string(out["error"]["blockers"][0]["code"]);
  }
  static std::string move(const Grid& grid, const std::string& unit, const std::string& to) {
    return code(grid.godwit({"move", unit, "--to", to, "--json"}));
  }

  int count_ = 0;
};

TEST_F(DelegatedUnits, go_where_their_user_lets_them_and_it_is_on_record) {
  Grid grid(3);
  REQUIRE_GRID(grid);
  ASSERT_EQ(grid.godwit({"key", "new"}).status, 0);
  const std::string file = document(grid, R"({"handovers": 3, "nodes": {"trusted": ["grid/node-1", "grid/node-2"]}})");
  ASSERT_EQ(run(grid, "held", file).status, 0);
  EXPECT_EQ(move(grid, "held", "node-3"), "forbidden-node");
  EXPECT_EQ(move(grid, "held", "node-2"), "ok");
  // The log outlives its controller.
  grid.kill("controller");
  grid.start("controller");
  ASSERT_TRUE(eventually([&] { return grid.godwit({"ps"}).status == 0; }));
  EXPECT_TRUE(eventually([&] { return move(grid, "held", "node-1") == "ok"; }));
  EXPECT_EQ(move(grid, "held", "node-2"), "ok");
  EXPECT_EQ(move(grid, "held", "node-1"), "over-limit");

  const auto traced = grid.godwit({"delegation", "trace", "held", "--json"});
  ASSERT_EQ(traced.status, 0) << traced.out << traced.err;
  const json trace = json::parse(traced.out);
  EXPECT_EQ(trace["verdict"], "ok");
  ASSERT_EQ(trace["entries"].size(), 3u);
  EXPECT_EQ(trace["entries"][0]["source"], "grid/node-1");
  EXPECT_EQ(trace["entries"][2]["destination"], "grid/node-2");
  EXPECT_NE(trace["entries"][0]["state"], trace["entries"][1]["state"]);
  EXPECT_EQ(grid.godwit({"delegation", "trace", "held"}).status, 0);
}

TEST_F(DelegatedUnits, are_refused_for_another_program_and_run_once_only) {
  Grid grid(1);
  REQUIRE_GRID(grid);
  ASSERT_EQ(grid.godwit({"key", "new"}).status, 0);
  const std::string file = document(grid, "{}");
  const auto other = grid.godwit({"run", "--delegation", file, "--json", "--", "/bin/sleep", "2000"});
  EXPECT_EQ(code(other), "wrong-arguments");
  ASSERT_EQ(run(grid, "one", file).status, 0);  // what was refused by the node has used nothing up
  const auto again = grid.godwit({"run", "--delegation", file, "--json", "--", "/bin/sleep", "1000"});
  EXPECT_EQ(code(again), "replayed");
  std::string text = *io::read_file(file);
  text[40] = text[40] == 'A' ? 'B' : 'A';
  ASSERT_TRUE(io::replace_file(file, text));
  EXPECT_NE(run(grid, "two", file).status, 0);
}

TEST_F(DelegatedUnits, stay_where_they_are_when_their_user_takes_it_back) {
  Grid grid(2);
  REQUIRE_GRID(grid);
  ASSERT_EQ(grid.godwit({"key", "new"}).status, 0);
  // The user's key signs a document by itself.
  ASSERT_EQ(grid.godwit({"run", "--name", "free", "--node", "node-1", "--", "/bin/sleep", "1000"}).status, 0);
  EXPECT_EQ(move(grid, "free", "node-2"), "ok");
  ASSERT_EQ(grid.godwit({"key", "new", "--out", dir_ + "/other.key"}).status, 0);
  EXPECT_EQ(grid.godwit({"delegation", "revoke", "free", "--key", dir_ + "/other.key"}).status, 3);
  EXPECT_EQ(grid.godwit({"checkpoint", "free"}).status, 0);
  ASSERT_EQ(grid.godwit({"delegation", "revoke", "free"}).status, 0);
  EXPECT_EQ(move(grid, "free", "node-1"), "revoked");
  EXPECT_EQ(code(grid.godwit({"checkpoint", "free", "--json"})), "revoked");
}

TEST_F(DelegatedUnits, without_a_document_are_as_they_were) {
  Grid grid(2);
  REQUIRE_GRID(grid);
  ASSERT_EQ(grid.godwit({"run", "--name", "plain", "--node", "node-1", "--", "/bin/sleep", "1000"}).status, 0);
  EXPECT_EQ(move(grid, "plain", "node-2"), "ok");
  EXPECT_NE(grid.godwit({"delegation", "trace", "plain"}).status, 0);
}

}  // namespace
}  // namespace godwit::test
