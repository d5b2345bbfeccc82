// Nothing lost, nothing doubled: every fault point of a move times every accident, with real daemons, keepers and
// programs. One test an accident, one grid a test; its cells are dealt to lanes, pairs of nodes of their own. A cell's
// steps and what it checks: fault_cell.h.
//
// A second, smaller matrix moves a portable program between architectures: what it shares with the first needn't be told apart
// again, so only those accidents are in it that hit the engine.
//
// GODWIT_MATRIX_POINTS=WORD takes only points that have the word in their name; GODWIT_MATRIX_ROUNDS=N does all N times.
// Needs root; full disks are small tmpfs, so all state directories of the grid are.
#include <sys/mount.h>

#include <atomic>
#include <cstdlib>
#include <memory>

#include "base/fault.h"
#include "fault_accidents.h"

namespace godwit::test {
namespace {

// A daemon that has worked has some more: connections to those that it has met.
constexpr size_t kDescriptorsMore = 8;

// Every state directory is a file system of its own, which a test can fill. The mounts are of this process alone.
class Disks {
 public:
  void mount(const std::string& state, int nodes) {
    state_ = state;
    for (int i = 0; i <= nodes; i++) {
      dirs_.push_back(state + (i == 0 ? "/controller" : "/nodes/node-" + std::to_string(i)));
      ASSERT_TRUE(sys::make_dirs(dirs_.back(), 0700));
      ASSERT_EQ(::mount("tmpfs", dirs_.back().c_str(), "tmpfs", 0, "size=64m,mode=0700"), 0) << std::strerror(errno);
    }
  }
  ~Disks() {
    const bool failed = ::testing::Test::HasFailure();
    for (const auto& dir : dirs_) {
      if (failed) (void)run_program({"/bin/cp", "-a", dir, dir + ".kept"});
      ::umount2(dir.c_str(), MNT_DETACH);
    }
    if (!failed && !state_.empty()) (void)sys::remove_tree(state_);
  }

 private:
  std::string state_;
  std::vector<std::string> dirs_;
};

// What a daemon has open, and the mounts of its machine: compared after all cells.
class Belongings {
 public:
  explicit Belongings(Grid& grid) : grid_(grid) { take(); }
  void take() {
    for (const auto& m : members()) {
      kept_[m.name] = {m.daemon_pid, open_descriptors(m.daemon_pid), mounts(m.holder_pid)};
    }
  }
  void expect_nothing_more() {
    for (const auto& m : members()) {
      const auto& before = kept_[m.name];
      EXPECT_EQ(mounts(m.holder_pid), before.mounts) << m.name;
      if (m.daemon_pid != before.pid || m.name == "controller") continue;
      const auto few = [&] { return open_descriptors(m.daemon_pid) <= before.descriptors + kDescriptorsMore; };
      EXPECT_TRUE(eventually(few)) << m.name << " had " << before.descriptors << " descriptors open and has "
                                   << open_descriptors(m.daemon_pid) << "\n"
                                   << descriptor_list(m.daemon_pid);
    }
  }

 private:
  struct Kept {
    int pid = 0;
    size_t descriptors = 0;
    std::string mounts;
  };
  std::vector<node::GridMember> members() const {
    auto all = node::grid_members(grid_.state());
    return all ? std::move(*all) : std::vector<node::GridMember>();
  }
  static std::string mounts(int pid) {
    return io::read_file("/proc/" + std::to_string(pid) + "/mountinfo").value_or("");
  }
  Grid& grid_;
  std::map<std::string, Kept> kept_;
};

std::vector<std::string> points_for(const Accident& accident) {
  const char* wanted = std::getenv("GODWIT_MATRIX_POINTS");
  std::vector<std::string> out;
  for (const auto& p : fault::points()) {
    const std::string name(p.name);
    if (name.starts_with("checkpoint.") || name.starts_with("restore.")) continue;  // not of a move
    if (wanted != nullptr && name.find(wanted) == std::string::npos) continue;
    if (accident.applies == nullptr || accident.applies(name)) out.push_back(name);
  }
  return out;
}

/// What is moved, and between which nodes.
struct Matrix {
  std::string program;
  std::vector<std::string>
      architectures;  ///< of the nodes, two a lane; empty: this machine's, as many as the accident takes
  int lanes = 0;
  bool lazy = true;  ///< can it be moved lazily?
};

void run_matrix(const Accident& accident, const Matrix& matrix) {
  const int lanes = matrix.lanes > 0 ? matrix.lanes : accident.lanes;
  if (::access((std::string(GODWIT_BIN) + "-keeper").c_str(), X_OK) != 0) GTEST_SKIP() << "needs the keeper";
  if (accident.missing != nullptr && !accident.missing().empty()) GTEST_SKIP() << "needs " << accident.missing();
  Disks disks;
  const auto prepare = [&](const std::string& state) {
    if (::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0)
      disks.mount(state, 2 * lanes);
  };
  Grid grid(2 * lanes, {}, GODWIT_BIN, prepare, matrix.architectures);
  REQUIRE_GRID(grid);
  Belongings belongings(grid);
  std::vector<std::string> alone, shared;
  const char* rounds = std::getenv("GODWIT_MATRIX_ROUNDS");
  for (int i = 0; i < (rounds != nullptr ? std::atoi(rounds) : 1); i++) {
    for (auto& p : points_for(accident)) {
      if (is_lazy(p) && !matrix.lazy) continue;
      // There is one controller: what stands or dies there would be another cell's accident.
      (accident.alone || p.starts_with("controller.") ? alone : shared).push_back(p);
    }
  }
  const auto lane = [](int i) {
    return Lane{"node-" + std::to_string(2 * i + 1), "node-" + std::to_string(2 * i + 2)};
  };
  const auto run = [&](const std::string& point, int i) {
    Cell cell(grid, lane(i), point, accident.megabytes, matrix.program);
    if (!cell.begin(accident.name)) return;
    accident.strike(cell);
    cell.release();
    if (accident.mend) accident.mend(cell);
    cell.finish(accident.may_die != nullptr && accident.may_die(point), accident.answer_counts);
  };
  for (const auto& point : alone) run(point, 0);
  std::atomic<size_t> next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < lanes; i++) {
    threads.emplace_back([&, i] {
      for (size_t at = next++; at < shared.size(); at = next++) run(shared[at], i);
    });
  }
  for (auto& t : threads) t.join();
  belongings.expect_nothing_more();
}

class FaultMatrix : public ::testing::TestWithParam<Accident> {};
TEST_P(FaultMatrix, leaves_exactly_one_whole_copy_at_every_point) { run_matrix(GetParam(), {GODWIT_STEADY, {}}); }
INSTANTIATE_TEST_SUITE_P(Accidents, FaultMatrix, ::testing::ValuesIn(accidents()),
                         [](const auto& test) { return std::string(test.param.name); });

class PortableFaultMatrix : public ::testing::TestWithParam<Accident> {};
TEST_P(PortableFaultMatrix, leaves_exactly_one_whole_copy_at_every_point) {
  if (::access(GODWIT_PORTABLE_STEADY, X_OK) != 0)
    GTEST_SKIP() << "needs a build with the portable engine (llvm-19-dev)";
  run_matrix(GetParam(), {GODWIT_PORTABLE_STEADY, {"x86_64", "aarch64", "riscv64", "x86_64"}, 2, false});
}
std::vector<Accident> accidents_of_engines() {
  std::vector<Accident> some;
  for (const auto& a : accidents())
    for (const std::string_view name :
         {"source_keeper_killed", "destination_keeper_killed", "destination_daemon_killed", "link_blinks"})
      if (name == a.name) some.push_back(a);
  return some;
}
INSTANTIATE_TEST_SUITE_P(Accidents, PortableFaultMatrix, ::testing::ValuesIn(accidents_of_engines()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace godwit::test
