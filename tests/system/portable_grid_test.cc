// Portable programs on a grid of four architectures, three of them emulated, one of these big-endian: they go round, into a
// checkpoint and out of it; what can't go is refused by name and goes on.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "base/program_file.h"
#include "grid.h"
#include "proc_table.h"
#include "steady.h"

namespace godwit::test {
namespace {

using nlohmann::json;

class PortableGrid : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::vector<std::string> nodes = {"x86_64", "aarch64", "riscv64"};
    if (has_s390x()) nodes.emplace_back("s390x");
    grid_ = new Grid(static_cast<int>(nodes.size()), {}, GODWIT_BIN, {}, nodes);
  }
  static void TearDownTestSuite() { delete std::exchange(grid_, nullptr); }
  void SetUp() override {
    if (::access(GODWIT_PORTABLE "steady", X_OK) != 0)
      GTEST_SKIP() << "needs a build with the portable engine (llvm-19-dev)";
    REQUIRE_GRID(*grid_);
  }
  static bool has_s390x() {
    return !program_file("qemu-s390x-static", {}).empty() || !program_file("qemu-s390x", {}).empty();
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

// A network namespace belongs to a thread.
Fd socket_on(const node::GridMember& node) {
  Fd made;
  std::thread([&] {
    const auto space = sys::open(fmt::format("/proc/{}/ns/net", node.holder_pid), O_RDONLY);
    if (space && ::setns(space->get(), CLONE_NEWNET) == 0) made = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }).join();
  return made;
}

constexpr uint16_t kPort = 7801;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// What the server on this node says; "" when there is none.
std::string ask(const node::GridMember& node) {
  const Fd client = socket_on(node);
  const auto address = loopback(kPort);
  if (!client.valid() || ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return {};
  return io::read_all(client.get()).value_or("");
}

std::string answer(int count) {
  return fmt::format(
      "tcp4 {} 127.0.0.1 reuse 1 0 alive 1 buffer 1 only6 -1 nodelay 1 idle 77 limit 0.000000 flags 0 1\n", count);
}

TEST_F(PortableGrid, a_big_endian_machine_is_a_machine_like_others) {
  if (!has_s390x()) GTEST_SKIP() << "needs qemu-s390x-static (package qemu-user-static)";
  char work[] = "/tmp/godwit_big_XXXXXX";
  ASSERT_NE(::mkdtemp(work), nullptr);
  must({"run", "--name", "big", "--node", "node-4", "--dir", work, "--cwd", work, "--", GODWIT_PORTABLE "steady", "m",
        "3"});
  ASSERT_TRUE(prints_on("big"));
  for (const char* node : {"node-1", "node-4", "node-2", "node-4"}) {
    must({"move", "big", "--to", node});
    EXPECT_TRUE(prints_on("big")) << node;
  }
  must({"checkpoint", "big"});
  must({"kill", "big"});
  EXPECT_EQ(godwit({"wait", "big", "--timeout", "30"}).status, 1);
  must({"restore", "big@1", "--node", "node-3"});
  EXPECT_TRUE(prints_on("big"));
  must({"move", "big", "--to", "node-4"});
  EXPECT_TRUE(prints_on("big"));
  expect_whole("big", 3);
  (void)sys::remove_tree(work);
}

TEST_F(PortableGrid, a_server_is_found_at_its_address_on_each_node) {
  char work[] = "/tmp/godwit_serving_XXXXXX";
  ASSERT_NE(::mkdtemp(work), nullptr);
  must({"run", "--name", "server", "--node", "node-1", "--dir", work, "--cwd", work, "--", GODWIT_PORTABLE "serving",
        std::to_string(kPort), "socket", "godwit/grid"});
  ASSERT_TRUE(eventually([&] { return logs("server") == "serving\n"; }));
  EXPECT_EQ(ask(grid_->member("node-1")), answer(1));
  int count = 1;
  std::vector<std::string> route = {"node-2", "node-3", "node-1"};
  if (has_s390x()) route.insert(route.begin() + 1, "node-4");
  for (const auto& node : route) {
    const auto before = grid_->member(node);
    must({"move", "server", "--to", node});
    EXPECT_EQ(ask(before), answer(++count)) << node;
  }
  EXPECT_EQ(ask(grid_->member("node-2")), "") << "nobody is left where it was";
  must({"checkpoint", "server"});
  must({"kill", "server"});
  EXPECT_EQ(godwit({"wait", "server", "--timeout", "30"}).status, 1);
  must({"restore", "server@1", "--node", "node-3"});
  EXPECT_EQ(ask(grid_->member("node-3")), answer(++count));
  must({"kill", "server"});
  (void)sys::remove_tree(work);
}

TEST_F(PortableGrid, an_address_in_use_is_said_and_the_server_stays) {
  must({"run", "--name", "other", "--node", "node-1", "--cwd", "/tmp", "--", GODWIT_PORTABLE "serving",
        std::to_string(kPort), "/tmp/godwit_other", "godwit/other"});
  ASSERT_TRUE(eventually([&] { return logs("other") == "serving\n"; }));
  {
    const Fd taken = socket_on(grid_->member("node-2"));
    const auto address = loopback(kPort);
    const int reuse = 1;
    ASSERT_EQ(::setsockopt(taken.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse), 0);
    ASSERT_EQ(::bind(taken.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << errno;
    ASSERT_EQ(::listen(taken.get(), 1), 0);
    const auto moved = godwit({"move", "other", "--to", "node-2"});
    EXPECT_EQ(moved.status, 4) << moved.out;
    EXPECT_NE(moved.err.find("127.0.0.1:7801, which is in use here"), std::string::npos) << moved.err;
    EXPECT_EQ(ask(grid_->member("node-1")), answer(1));
  }
  must({"move", "other", "--to", "node-2"});
  EXPECT_EQ(ask(grid_->member("node-2")), answer(2));
  must({"kill", "other"});
  (void)sys::unlink("/tmp/godwit_other");
}

TEST_F(PortableGrid, connections_that_wait_are_seen_before_it_is_touched) {
  must({"run", "--name", "busy", "--node", "node-1", "--cwd", "/tmp", "--", GODWIT_PORTABLE "serving",
        std::to_string(kPort), "/tmp/godwit_busy", "godwit/busy", "ours"});
  ASSERT_TRUE(eventually([&] { return logs("busy") == "serving\n"; }));
  const auto checked = godwit({"check", "busy", "--to", "node-2"});
  EXPECT_EQ(checked.status, 3);
  EXPECT_NE(checked.out.find("it waits to be accepted"), std::string::npos) << checked.out << checked.err;
  EXPECT_NE(checked.out.find("with 127.0.0.1:"), std::string::npos) << checked.out;
  EXPECT_EQ(godwit({"move", "busy", "--to", "node-2"}).status, 3);
  EXPECT_EQ(ask(grid_->member("node-1")), answer(1));
  must({"kill", "busy"});
  (void)sys::unlink("/tmp/godwit_busy");
}

TEST_F(PortableGrid, what_is_unread_in_pipes_and_the_like_comes_along) {
  const std::string file = fmt::format("/tmp/godwit_objects_{}", ::getpid());
  const std::vector<std::string> run = {"--cwd", "/tmp", "--", GODWIT_PORTABLE "objects", "until", file};
  std::string plain;
  for (const bool moves : {false, true}) {
    const std::string name = moves ? "moved" : "plain";
    std::vector<std::string> words = {"run", "--name", name, "--node", "node-1"};
    words.insert(words.end(), run.begin(), run.end());
    must(words);
    ASSERT_TRUE(eventually([&] { return logs(name) == "ready\n"; }));
    if (moves && has_s390x()) {
      const auto checked = godwit({"check", name, "--to", "node-4"});
      EXPECT_EQ(checked.status, 3);
      EXPECT_NE(checked.out.find("portable-numbers"), std::string::npos) << checked.out;
    }
    if (moves) {
      for (const char* node : {"node-2", "node-3", "node-1", "node-3"})
        must({"move", name, "--to", node, "--engine", "portable"});
      must({"checkpoint", name});
      must({"kill", name});
      EXPECT_EQ(godwit({"wait", name, "--timeout", "30"}).status, 1);
      must({"restore", name + "@1", "--node", "node-2"});
    }
    ASSERT_TRUE(sys::open(file, O_WRONLY | O_CREAT, 0600));
    EXPECT_EQ(godwit({"wait", name, "--timeout", "30"}).status, 0);
    const auto told = logs(name);
    EXPECT_NE(told.find("event 9 timer 1 1"), std::string::npos) << told;
    if (!moves) plain = told;
    EXPECT_EQ(told, plain);
    (void)sys::unlink(file);
  }
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
                         ::testing::Values(Case{"pipe", "portable-pipe"}, Case{"watch", "portable-descriptor"},
                                           Case{"connection", "portable-connection"},
                                           Case{"gone", "portable-file-gone"}, Case{"child", "portable-child"}),
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
  const auto missing = godwit({"run", "--node", "node-2", "--", "./nothere"});
  EXPECT_EQ(missing.err.find("godwit: ./nothere: no such file here"), 0U) << missing.err;
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
