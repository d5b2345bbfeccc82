// What a document allows holds while the unit runs: where it started, after a move, and after a restore from a checkpoint.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <sstream>

#include "grid.h"
#include "with_user_key.h"

namespace godwit::test {
namespace {

using nlohmann::json;
using Results = std::map<std::string, std::string>;

constexpr const char* kPython = "/usr/bin/python3";

class EnforcedUnits : public WithUserKey {
 protected:
  void SetUp() override {
    char name[] = "/var/tmp/godwit_enforced_XXXXXX";
    dir_ = ::mkdtemp(name);
    ::setenv("GODWIT_KEY", (dir_ + "/user.key").c_str(), 1);
    for (const char* sub : {"/open", "/readable"}) ASSERT_TRUE(sys::make_dirs(dir_ + sub));
    for (const char* file : {"/secret", "/readable/file"}) ASSERT_TRUE(io::replace_file(dir_ + file, "something\n"));
    ASSERT_TRUE(io::replace_file(dir_ + "/true", "#!/bin/sh\n", 0755));
    ASSERT_TRUE(io::replace_file(dir_ + "/readable/enforced.py", *io::read_file(GODWIT_ENFORCED)));
    words_ = {"--", kPython, dir_ + "/readable/enforced.py", dir_, "18080", "18090"};
  }

  /// Starts the program under a document with these grants; its unit's name is "held".
  Ran start(const Grid& grid, const json& policy) {
    EXPECT_TRUE(io::replace_file(dir_ + "/policy.json", policy.dump()));
    const std::string file = dir_ + "/document";
    (void)sys::unlink(file);
    auto make = std::vector<std::string>{"delegation", "new", "--policy", dir_ + "/policy.json", "--out", file};
    make.insert(make.end(), words_.begin(), words_.end());
    const auto made = grid.godwit(make);
    EXPECT_EQ(made.status, 0) << made.err;
    auto run = std::vector<std::string>{"run", "--name", "held", "--node", "node-1", "--delegation", file, "--json"};
    run.insert(run.end(), words_.begin(), words_.end());
    return grid.godwit(run);
  }
  static bool has_said(const Grid& grid, const std::string& line) {
    return eventually([&] { return grid.godwit({"logs", "held"}).out.find(line + "\n") != std::string::npos; },
                      std::chrono::seconds(60));
  }
  /// What the unit gets when it tries everything now.
  static Results tried(const Grid& grid, int round) {
    const std::string number = std::to_string(round);
    const auto told = grid.godwit({"signal", "held", "USR1"});
    EXPECT_EQ(told.status, 0) << told.err;
    EXPECT_TRUE(has_said(grid, number + " done")) << grid.godwit({"logs", "held"}).out;
    Results out;
    std::istringstream lines(grid.godwit({"logs", "held"}).out);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string at, what, result, more;
      words >> at >> what >> result;
      if (at != number || what == "done") continue;
      out[what] = words >> more ? result + " " + more : result;
    }
    return out;
  }
  static void expect_ok(const Ran& ran) { EXPECT_EQ(ran.status, 0) << ran.out << ran.err; }
  /// As soon as the node has told that the memory of the last try is gone.
  static void move(const Grid& grid, const std::string& to) {
    Ran moved;
    EXPECT_TRUE(eventually([&] {
      moved = grid.godwit({"move", "held", "--to", to});
      return moved.status == 0 || moved.err.find("too-few-resources") == std::string::npos;
    }));
    expect_ok(moved);
  }
  json everything_limited() const {
    return {{"read", {"/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/usr", dir_ + "/open", dir_ + "/readable"}},
            {"write", {dir_ + "/open"}},
            {"connect", {"127.0.0.1/32 18080-18082", "127.0.0.3/32 0-65535", "::1/128 18080-18082"}},
            {"listen", {"127.0.0.1/32 18080-18082", "::1/128 18080-18081"}},
            {"limits", {{"cpu_percent", 30}, {"memory_bytes", 150 << 20}, {"processes", 6}}}};
  }

  std::vector<std::string> words_;
};

const Results kLimited = {
    {"read-allowed", "ok"},
    {"read-forbidden", "EACCES"},
    {"write-allowed", "ok"},
    {"write-forbidden", "EACCES"},
    {"write-readable", "EACCES"},
    {"truncate-readable", "EACCES"},
    {"read-proc", "ok"},
    {"run-allowed", "ok"},
    {"run-forbidden", "EACCES"},
    {"mount", "EPERM"},
    {"groups", "EROFS"},
    {"tcp4-allowed", "ok"},
    {"tcp4-port", "EPERM"},
    {"tcp4-address", "EPERM"},
    {"tcp6-allowed", "ok"},
    {"tcp6-port", "EPERM"},
    {"tcp6-mapped", "EPERM"},
    {"udp4-allowed", "ok"},
    {"udp4-address", "EPERM"},
    {"udp6-allowed", "ok"},
    {"udp6-port", "EPERM"},
    {"bind-allowed", "ok"},
    {"bind-forbidden", "EPERM"},
    {"bind6-forbidden", "EPERM"},
    {"bind-udp-forbidden", "EPERM"},
    {"listen-unbound", "ETIMEDOUT"},
    {"memory", "signal 9"},
    {"processes", "EAGAIN-after-5"},
    {"cpu", "limited"},
    {"child-read-forbidden", "EACCES"},
    {"child-tcp4-address", "EPERM"},
    {"child-udp6-port", "EPERM"},
};

TEST_F(EnforcedUnits, are_held_to_their_document_wherever_they_go) {
  Grid grid(2);
  REQUIRE_GRID(grid);
  expect_ok(grid.godwit({"key", "new"}));
  expect_ok(start(grid, everything_limited()));
  ASSERT_TRUE(has_said(grid, "0 ready")) << grid.godwit({"logs", "held"}).out;
  EXPECT_EQ(tried(grid, 1), kLimited);
  move(grid, "node-2");
  EXPECT_EQ(tried(grid, 2), kLimited);
  expect_ok(grid.godwit({"checkpoint", "held"}));
  expect_ok(grid.godwit({"kill", "held"}));
  ASSERT_TRUE(eventually([&] { return grid.godwit({"wait", "held"}).status != 0; }));
  expect_ok(grid.godwit({"restore", "held@1", "--node", "node-1"}));
  EXPECT_EQ(tried(grid, 3), kLimited);
}

TEST_F(EnforcedUnits, cant_lift_the_limits_of_a_document_that_says_nothing_of_paths) {
  Grid grid(2);
  REQUIRE_GRID(grid);
  expect_ok(grid.godwit({"key", "new"}));
  expect_ok(start(grid, {{"limits", {{"memory_bytes", 150 << 20}}}}));
  ASSERT_TRUE(has_said(grid, "0 ready")) << grid.godwit({"logs", "held"}).out;
  for (const auto& [round, node] : {std::pair{1, "node-1"}, {2, "node-2"}}) {
    if (round > 1) move(grid, node);
    auto got = tried(grid, round);
    EXPECT_EQ(got["memory"], "signal 9");
    EXPECT_EQ(got["mount"], "EPERM");
    EXPECT_EQ(got["groups"], "EROFS");
    for (const char* free : {"read-proc", "read-forbidden", "write-forbidden", "run-forbidden", "tcp4-allowed",
                             "udp4-address", "bind-forbidden", "listen-unbound", "processes"})
      EXPECT_EQ(got[free], "ok") << free;
  }
}

// What the operator of a node takes away holds there from the start, and later for who comes back by a restore on a node whose
// operator says nothing. Not yet at the first node after it: there the word comes with the state, when the rules are in force.
TEST_F(EnforcedUnits, are_held_to_the_word_of_each_node_where_they_were) {
  Grid grid(2);
  REQUIRE_GRID(grid);
  expect_ok(grid.godwit({"key", "new"}));
  const json word = {{"write", {dir_ + "/open"}}, {"limits", {{"processes", 6}}}};
  ASSERT_TRUE(io::replace_file(grid.state() + "/nodes/node-1/caveat.json", word.dump()));
  expect_ok(start(grid, json::object()));
  ASSERT_TRUE(has_said(grid, "0 ready")) << grid.godwit({"logs", "held"}).out;
  const auto expect_held = [&](int round) {
    auto got = tried(grid, round);
    EXPECT_EQ(got["write-allowed"], "ok") << round;
    EXPECT_EQ(got["write-forbidden"], "EACCES") << round;
    EXPECT_EQ(got["processes"], "EAGAIN-after-5") << round;
    EXPECT_EQ(got["read-forbidden"], "ok") << round;  // it says nothing of reading
  };
  expect_held(1);
  move(grid, "node-2");
  expect_ok(grid.godwit({"checkpoint", "held"}));
  expect_ok(grid.godwit({"kill", "held"}));
  ASSERT_TRUE(eventually([&] { return grid.godwit({"wait", "held"}).status != 0; }));
  expect_ok(grid.godwit({"restore", "held@1", "--node", "node-2"}));
  expect_held(2);
}

TEST_F(EnforcedUnits, do_not_start_where_the_node_does_not_want_them) {
  Grid grid(1);
  REQUIRE_GRID(grid);
  expect_ok(grid.godwit({"key", "new"}));
  const auto code = [&](const std::string& word) {
    EXPECT_TRUE(io::replace_file(grid.state() + "/nodes/node-1/caveat.json", word));
    const auto ran = start(grid, json::object());
    const json out = json::parse(ran.out, nullptr, false);
    if (ran.status == 0) return std::string("ok");
    return out["error"]["blockers"].empty() ? out["error"].dump() : std::string(out["error"]["blockers"][0]["code"]);
  };
  EXPECT_EQ(code(R"({"operations": ["checkpoint", "migrate"]})"), "forbidden-operation");
  EXPECT_EQ(code(R"({"nodes": {"untrusted": ["grid/node-1"]}})"), "forbidden-node");
  EXPECT_NE(code(R"({"wriet": []})").find("caveat.json"), std::string::npos);  // a word that isn't understood
  EXPECT_EQ(code("{}"), "ok");
}

TEST_F(EnforcedUnits, leave_no_control_groups_behind) {
  std::vector<std::string> groups;
  {
    Grid grid(1);
    REQUIRE_GRID(grid);
    const auto note_groups = [&] {
      const std::string units = grid.state() + "/nodes/node-1/units";
      for (const auto& unit : sys::list_dir(units).value_or(std::vector<std::string>())) {
        std::istringstream lines(io::read_file(units + "/" + unit + "/groups").value_or(""));
        for (std::string line; std::getline(lines, line);) groups.push_back(line);
      }
    };
    expect_ok(grid.godwit({"key", "new"}));
    expect_ok(start(grid, everything_limited()));
    note_groups();
    ASSERT_FALSE(groups.empty());
    for (const auto& group : groups) EXPECT_TRUE(sys::stat(group)) << group;
    expect_ok(grid.godwit({"kill", "held"}));
    EXPECT_TRUE(eventually(
        [&] { return std::ranges::none_of(groups, [](const auto& g) { return sys::stat(g).has_value(); }); }));
    // A keeper that dies with its node can't take them away.
    const std::string file = dir_ + "/again";
    expect_ok(grid.godwit(
        {"delegation", "new", "--policy", dir_ + "/policy.json", "--out", file, "--", "/bin/sleep", "1000"}));
    expect_ok(grid.godwit({"run", "--delegation", file, "--", "/bin/sleep", "1000"}));
    groups.clear();
    note_groups();
    ASSERT_FALSE(groups.empty());
  }
  for (const auto& group : groups) EXPECT_FALSE(sys::stat(group)) << group;
}

TEST_F(EnforcedUnits, without_rules_are_as_without_a_document) {
  Grid grid(1);
  REQUIRE_GRID(grid);
  const auto looks = [&](const std::vector<std::string>& options, const std::string& name) {
    std::vector<std::string> run{"run", "--name", name};
    run.insert(run.end(), options.begin(), options.end());
    words_ = {"--", "/bin/grep", "-E", "^Cap|NoNew|Seccomp|:/", "/proc/self/status", "/proc/self/cgroup"};
    run.insert(run.end(), words_.begin(), words_.end());
    expect_ok(grid.godwit(run));
    EXPECT_EQ(grid.godwit({"wait", name}).status, 0);
    return grid.godwit({"logs", name}).out;
  };
  const std::string plain = looks({}, "plain");
  EXPECT_NE(plain.find("CapBnd"), std::string::npos) << plain;
  expect_ok(grid.godwit({"key", "new"}));
  EXPECT_EQ(looks({}, "signed"), plain);  // the user's key signs a document by itself
  EXPECT_EQ(plain.find("godwit-"), std::string::npos) << plain;
}

TEST_F(EnforcedUnits, are_refused_by_name_where_a_limit_cant_be_enforced) {
  Grid grid(2);
  REQUIRE_GRID(grid);
  expect_ok(grid.godwit({"key", "new"}));
  // In node-2's own mounts there is no controller of memory any more.
  const std::string pid = std::to_string(grid.member("node-2").daemon_pid);
  const auto gone = run_program({"/usr/bin/nsenter", "-t", pid, "-m", "-p", "/bin/sh", "-c",
                                 "umount -l /sys/fs/cgroup/memory || umount -l /sys/fs/cgroup"});
  ASSERT_EQ(gone.status, 0) << gone.err;
  expect_ok(start(grid, {{"limits", {{"memory_bytes", 150 << 20}}}}));
  ASSERT_TRUE(has_said(grid, "0 ready"));
  const auto checked = grid.godwit({"check", "held", "--to", "node-2", "--json"});
  EXPECT_EQ(checked.status, 3) << checked.out << checked.err;
  EXPECT_NE(checked.out.find("\"enforce-memory\""), std::string::npos) << checked.out;
  const auto moved = grid.godwit({"move", "held", "--to", "node-2", "--json"});
  EXPECT_NE(moved.status, 0);
  EXPECT_NE(moved.out.find("\"enforce-memory\""), std::string::npos) << moved.out << moved.err;
  EXPECT_EQ(tried(grid, 1)["memory"], "signal 9");  // it runs where it was
  expect_ok(grid.godwit({"checkpoint", "held", "--json"}));
  expect_ok(grid.godwit({"kill", "held"}));
  ASSERT_TRUE(eventually([&] { return grid.godwit({"wait", "held"}).status != 0; }));
  const auto restored = grid.godwit({"restore", "held@1", "--node", "node-2", "--json"});
  EXPECT_NE(restored.out.find("\"enforce-memory\""), std::string::npos) << restored.out << restored.err;
}

}  // namespace
}  // namespace godwit::test
