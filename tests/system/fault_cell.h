// One cell of the fault matrix: a unit is moved, an accident happens while some process stands at a fault point, and
// afterwards there is exactly one live copy, whole.
//
//     Cell cell(grid, {"node-1", "node-2"}, "source.frozen");
//     cell.begin();                 // the move stands at the point
//     …                             // whatever goes wrong
//     cell.release();               // the move goes on
//     …                             // what went wrong is put right
//     cell.finish(may_die);         // all that must hold
#pragma once

#include <signal.h>

#include <future>
#include <nlohmann/json.hpp>
#include <string>

#include "grid.h"
#include "proc_table.h"
#include "steady.h"

namespace godwit::test {

/// A point that only a lazy move passes.
bool is_lazy(const std::string& point);

struct Lane {
  std::string source, destination;
};

class Cell {
 public:
  /// `program` is steady, or does the same.
  Cell(Grid& grid, Lane lane, std::string point, int megabytes, std::string program)
      : grid_(grid),
        lane_(std::move(lane)),
        point_(std::move(point)),
        megabytes_(megabytes),
        program_(std::move(program)) {}
  ~Cell() {
    if (moved_.valid()) moved_.wait();
    (void)sys::remove_tree(work_);
  }
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  /// False when the unit did not start or the point was not reached.
  bool begin(const std::string& accident);
  void release() const;
  /// Until everything has settled; then what must hold is checked. `may_die`: the accident may have taken the unit along.
  void finish(bool may_die, bool exit_code_counts);

  // For accidents.
  [[nodiscard]] Grid& grid() const { return grid_; }
  [[nodiscard]] const Lane& lane() const { return lane_; }
  [[nodiscard]] const std::string& point() const { return point_; }
  /// The keeper of the unit on that node, 0 when there is none.
  [[nodiscard]] pid_t keeper(const std::string& node) const;
  [[nodiscard]] bool went_on() const { return logs_say(": goes on"); }
  [[nodiscard]] bool move_ended() const {
    return moved_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  /// Copies that aren't stopped, whoever they belong to.
  [[nodiscard]] size_t running_copies() const;
  /// The copy on that node runs: its output grows.
  [[nodiscard]] bool runs_on(const std::string& node) const;
  /// The unit as the controller knows it.
  [[nodiscard]] nlohmann::json record() const;

 private:
  [[nodiscard]] std::string node_dir(const std::string& node) const { return grid_.state() + "/nodes/" + node; }
  [[nodiscard]] std::string unit_dir(const std::string& node) const { return node_dir(node) + "/units/" + id_; }
  [[nodiscard]] std::string output(const std::string& node) const {
    return io::read_file(unit_dir(node) + "/out.log").value_or("");
  }
  [[nodiscard]] std::vector<Proc> copies(const ProcTable& table, const std::string& node) const {
    return table.find(grid_.member(node).holder_pid, mark_);
  }
  void arm(const std::string& spec) const;
  /// Of the grid. Just after a cut the controller may still hold a dead connection to a node: then it is asked again.
  Ran ask(const std::vector<std::string>& arguments) const;
  [[nodiscard]] bool logs_say(const std::string& what) const;
  /// Why it isn't settled yet; empty when it is.
  [[nodiscard]] std::string unsettled(nlohmann::json& record) const;
  void expect_whole(const std::string& node) const;
  /// What all who have to do with it said last and what their threads do, for a failure's message.
  [[nodiscard]] std::string story() const;
  void expect_sane_answer(const nlohmann::json& record, bool died) const;

  Grid& grid_;
  const Lane lane_;
  const std::string point_;
  const int megabytes_;
  const std::string program_;
  std::string name_, mark_, id_, work_;
  size_t log_starts_[3] = {};  // of the controller's and both nodes' logs, before the move
  std::shared_future<Ran> moved_;
};

}  // namespace godwit::test
