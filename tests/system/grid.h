// A grid in a temporary state directory, for tests: started, hurt, and gone at the end of the scope.
//
//     Grid grid(3);
//     REQUIRE_GRID(grid);                 // skips with the missing need, fails when it should have started
//     grid.kill("node-1");                // SIGKILL to the daemon; its keepers live on
//     grid.start("node-1");
//     grid.cut("node-2"); grid.mend("node-2");
//     auto [status, out] = grid.godwit({"ps", "--json"});
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/io.h"
#include "base/sys.h"
#include "node/node.h"

namespace godwit::test {

/// Waits until `holds` does: polls, as most of what a test waits for is another process's doing. False after `limit`.
inline bool eventually(const std::function<bool()>& holds, std::chrono::seconds limit = std::chrono::seconds(20)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

struct Ran {
  int status = -1;  ///< 128 + signal when it was killed
  std::string out;
  std::string err;
};
/// Runs a program to its end.
inline Ran run_program(const std::vector<std::string>& argv, const std::string& input = {}) {
  const Fd in = *sys::memfd("in"), out = *sys::memfd("out"), err = *sys::memfd("err");
  (void)io::pwrite_full(in.get(), std::as_bytes(std::span(input)), 0);
  std::vector<char*> args;
  for (const auto& a : argv) args.push_back(const_cast<char*>(a.c_str()));
  args.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(in.get(), 0), ::dup2(out.get(), 1), ::dup2(err.get(), 2);
    ::execv(args[0], args.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  const auto text = [](const Fd& fd) {
    ::lseek(fd.get(), 0, SEEK_SET);
    return io::read_all(fd.get()).value_or("");
  };
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text(out), text(err)};
}

class Grid {
 public:
  /// `program` stands in for the godwit binary. The state directory is new unless one is given. `before_up` may prepare
  /// it. `architectures`: one for each node, when they aren't all of this machine's. `sites`: of nodes that are another's.
  explicit Grid(int nodes, std::map<std::string, std::string> roots = {}, std::string program = GODWIT_BIN,
                const std::function<void(const std::string& state)>& before_up = {},
                std::vector<std::string> architectures = {}, std::map<std::string, std::string> sites = {}) {
    options_.sites = std::move(sites);
    options_.architectures = std::move(architectures);
    options_.nodes = nodes;
    options_.roots = std::move(roots);
    options_.program = std::move(program);
    char name[] = "/tmp/godwit_grid_XXXXXX";
    if (::mkdtemp(name) != nullptr) options_.state_dir = name;
    if (::geteuid() != 0) {
      missing_ = "root";
    } else if (::access(options_.program.c_str(), X_OK) != 0) {
      missing_ = "the program " + options_.program;
    } else {
      if (before_up) before_up(options_.state_dir);
      up_ = node::grid_up(options_, [](std::string_view) {});
    }
  }
  ~Grid() {
    if (auto down = node::grid_down(options_.state_dir, false); !down) ADD_FAILURE() << down.error().message();
    // What the daemons wrote is wanted when a test failed.
    if (::testing::UnitTest::GetInstance()->Failed()) {
      std::fprintf(stderr, "state kept in %s\n", options_.state_dir.c_str());
    } else {
      (void)sys::remove_tree(options_.state_dir);
    }
  }
  Grid(const Grid&) = delete;
  Grid& operator=(const Grid&) = delete;

  const std::string& missing() const { return missing_; }
  const Result<void>& up() const { return up_; }
  const std::string& state() const { return options_.state_dir; }
  const node::GridOptions& options() const { return options_; }

  void kill(const std::string& who) { expect(node::grid_kill(state(), who)); }
  void start(const std::string& who, const std::string& fault = {}) { expect(node::grid_start(state(), who, fault)); }
  void crash(const std::string& node) { expect(node::grid_crash(state(), node)); }
  void boot(const std::string& node, const std::string& fault = {}) { expect(node::grid_boot(state(), node, fault)); }
  void cut(const std::string& node) { expect(node::grid_link(state(), node, false)); }
  void mend(const std::string& node) { expect(node::grid_link(state(), node, true)); }
  /// The daemon runs (it isn't dead from a fault point).
  bool runs(const std::string& who) const { return member(who).daemon_pid != 0; }
  node::GridMember member(const std::string& who) const {
    const auto all = node::grid_members(state());
    if (!all) return {};
    for (const auto& m : *all) {
      if (m.name == who) return m;
    }
    return {};
  }
  /// The command line, on this grid.
  Ran godwit(std::vector<std::string> arguments, const std::string& input = {}) const {
    arguments.insert(arguments.begin(), {options_.program, "--state", state()});
    return run_program(arguments, input);
  }

 private:
  static void expect(const Result<void>& result) {
    if (!result) ADD_FAILURE() << result.error().message();
  }
  node::GridOptions options_;
  std::string missing_;
  Result<void> up_;
};

#define REQUIRE_GRID(grid)                                                     \
  if (!(grid).missing().empty()) GTEST_SKIP() << "needs " << (grid).missing(); \
  ASSERT_TRUE((grid).up()) << (grid).up().error().message()

/// For tests that share one grid of so many nodes.
template <int Nodes>
class OnGrid : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { grid_ = new Grid(Nodes); }
  static void TearDownTestSuite() { delete std::exchange(grid_, nullptr); }
  void SetUp() override {
    if (::access((std::string(GODWIT_BIN) + "-keeper").c_str(), X_OK) != 0) GTEST_SKIP() << "needs the keeper";
    REQUIRE_GRID(*grid_);
  }
  static Grid& grid() { return *grid_; }

 private:
  inline static Grid* grid_ = nullptr;
};

}  // namespace godwit::test
