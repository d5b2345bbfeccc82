// World: one simulation. Units run as SimGrid executions; events, moves and looks at the load are its actors; decisions are
// sched's. One per process.
//
//     unit:   waiting ──place──▶ running ──end──▶ done
//                ▲                  │ ▲
//                └── node vanished ─┘ └── move: stream beside it, freeze, the other node
//
// SimGrid's actors are coroutines: one runs until it asks the simulator for something (a sleep, an actor, a move of an
// execution), then others may. So every function here leaves all rows in order before such a call, and holds no iterator over it.
//
// A unit's `epoch` counts what invalidates an actor that acts for it: a move that finds another epoch than it began with does
// nothing more.
#pragma once

#include <simgrid/s4u.hpp>

#include <deque>
#include <string>
#include <vector>

#include "sched/random.h"
#include "sim/sim.h"

namespace godwit::sim {

class World {
 public:
  World(const Scenario& scenario, const sched::Choice& choice, bool with_log);
  Run run();

 private:
  enum class UnitState { kWaiting, kRunning, kDone };
  struct UnitRow {
    size_t job = 0;
    std::string name;
    UnitState state = UnitState::kWaiting;
    int node = sched::kNowhere;
    double remaining = 0;  ///< when it isn't running
    double saved = 0;  ///< remaining work at its last checkpoint
    double predicted = 1;  ///< factor by which its total is believed to be what it is
    double moved_at = -1e18;
    double began = 0;  ///< on this node
    bool moving = false;
    int to = sched::kNowhere;  ///< when moving
    int epoch = 0;
    simgrid::s4u::ExecPtr exec;
  };
  struct JobRow {
    int left = 0;
    double done_at = 0;
  };
  struct NodeRow {
    simgrid::s4u::Host* host = nullptr;
    bool present = true;
    sched::NodeState state = sched::NodeState::kTakes;
    double factor = 1;  ///< of its speed, now
    double pressure = 0;  ///< bytes that something else has
    double used = 0;  ///< bytes of units there, and on their way there
    int count = 0;  ///< units there, and on their way there
    int life = 0;  ///< counts its leaves: a leave that was overtaken by a join does nothing
  };

  void build();
  void submit(size_t job);
  void handle(const EventSpec& event);
  void churn(size_t node);
  void join(size_t n);
  void leave(size_t n, sched::EventKind kind, double notice);
  void vanish(size_t n, sched::EventKind kind);
  [[nodiscard]] bool stuck() const;
  void look();

  [[nodiscard]] int best_place(const UnitRow& unit) const;
  void place_waiting();
  void start(size_t u, int node);
  void ended(size_t u);
  void lose(size_t u);
  [[nodiscard]] double remaining(const UnitRow& unit) const;
  [[nodiscard]] double checkpointed(const UnitRow& unit) const;

  void ask(sched::Event event);
  void reschedule(sched::Event event);
  [[nodiscard]] sched::Situation situation(sched::Event event) const;
  void carry_out();
  void move(size_t u, int to, int epoch, bool forced);
  void work_for_move(int from, int to) const;

  [[nodiscard]] double link(int from, int to) const;
  [[nodiscard]] double room(size_t n) const;
  [[nodiscard]] double capacity() const;
  void count_time();
  void stage(const std::string& what);
  double finished_work();
  void note(const std::string& text);
  void later(double seconds, const std::function<void()>& what, const char* name);
  Run result();

  const Scenario& scenario_;
  const sched::Choice choice_;
  const bool with_log_;
  sched::Random random_;
  std::vector<NodeRow> nodes_;
  std::vector<UnitRow> units_;
  std::vector<JobRow> jobs_;
  std::vector<size_t> live_;  ///< units that aren't done
  size_t submitted_ = 0, told_ = 0;  ///< jobs and events so far
  std::deque<size_t> waiting_;
  struct Wanted {
    size_t unit;
    int to;
    sched::Why why;
    sched::EventKind after;
  };
  std::deque<Wanted> wanted_;  ///< moves of the last plan that haven't begun
  int moving_ = 0, moving_forced_ = 0;
  std::optional<sched::Event> asked_;
  size_t jobs_left_ = 0;
  uint64_t round_ = 0;
  simgrid::s4u::Host* stage_host_ = nullptr;  ///< where the actors of the simulation itself are
  simgrid::s4u::SemaphorePtr over_;
  double counted_until_ = 0, capacity_sum_ = 0, stage_capacity_ = 0, stage_work_ = 0, done_work_ = 0;
  Run run_;
};

}  // namespace godwit::sim
