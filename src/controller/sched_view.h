// The grid as rescheduling sees it (sched/sched.h), out of the controller's state; and its policy, kept in the store. Pure.
//
// What is believed and why:
//   work done     CPU time on all the nodes where it was, by their speeds
//   work left     progress that the program says, or that its input's position shows, or what earlier runs of the same program
//                 needed (`sched.work.*` in the store), or as much as it has lasted (sched/estimate.h)
//   CPUs it uses  its rate; on a crowded node at least one, as it would use more if it could
//   a node's CPUs those that it may use, less what others than our units use there
//   links, cost   from reports of past moves
//   dirty rate    of the last move of the unit, else of any unit of the same program: what was sent again, over the time that
//                 it was sent in (why not measured: docs/design/sched.md)
#pragma once

#include <map>
#include <string>
#include <vector>

#include "controller/state.h"
#include "godwit/sched.pb.h"
#include "sched/sched.h"

namespace godwit::controller {

struct SchedEvent {
  sched::EventKind kind = sched::EventKind::kLoad;
  std::string node;
};
/// "load", "join:N", "leave:N", "drain:N", "spot:N", "pressure:N", "slow:N"; empty: load. The node must be known.
Outcome<SchedEvent> parse_event(const State& state, const std::string& word);

/// Rows and columns are in the order of `units` and `nodes`.
struct SchedView {
  sched::Situation now;
  std::vector<std::string> units;  ///< ids
  std::vector<std::string> names;
  std::vector<std::string> nodes;
  std::vector<sched::ProgressSource> sources;
};
SchedView sched_view(const State& state, const Now& now, const SchedEvent& event);

/// What programs are called in the history of their work: the program's name and its options, without their values. Not longer than
/// 200 bytes.
std::string program_key(const wire::UnitSpec& spec);

/// The grid's policy; off until a user chooses one.
struct Automation {
  bool on = false;
  sched::Choice choice;
  std::string name;  ///< as the user wrote it
};
Automation automation(const State& state);
struct PolicyChange {
  Changes changes;
  wire::PolicyReply reply;
};
/// Empty request: nothing changes.
Outcome<PolicyChange> set_policy(const State& state, const wire::PolicyRequest& request);

/// What a decision is made of: taken from the state, under the ledger's lock; decided afterwards, as a policy may take a second.
struct Question {
  SchedView view;
  sched::Choice choice;
};
/// A decision that isn't carried out.
Outcome<Question> plan_question(const State& state, const Now& now, const wire::PlanRequest& request);
wire::PlanReply answer(const Question& question, bool only_progress);
Outcome<wire::PlanReply> plan(const State& state, const Now& now, const wire::PlanRequest& request);

/// Where the policy puts each unit of a node that is drained, by id. A unit that it leaves out (pinned, or no room by its
/// reckoning) isn't there.
Question emptying_question(const State& state, const Now& now, const std::string& node);
std::map<std::string, std::string> emptying(const Question& question);

/// What a unit has done so far, in seconds of a CPU of speed 1. Its processes' times begin anew at 0 with every move and every
/// restore, and what the new node sees of its progress begins with nothing. So what was known before is kept in the store: of a
/// move (`sched.before.*`) in the transaction of the commit, of a checkpoint (`sched.at.*`) with the checkpoint.
double work_done(const State& state, const wire::Unit& unit);
void keep_work(const State& state, const wire::Unit& unit, Changes& changes);
void keep_work_at(const State& state, const wire::Unit& unit, uint32_t number, Changes& changes);
/// A unit goes on from where that checkpoint was. What was kept before, for a restore that fails: put_back_work().
std::string restore_work(const State& state, const std::string& of, uint32_t number, const std::string& unit,
                         Changes& changes);
void put_back_work(const std::string& unit, const std::string& kept, Changes& changes);
/// Name in `meta` of what is kept of a unit, which goes with it.
std::string work_before_key(const std::string& unit);
/// Of what is kept with a checkpoint, which goes with it.
std::string work_at_key(const std::string& unit, uint32_t number);

/// Notes how much work a unit that has just ended well did, for its program's next run; nothing when that isn't known. Of so many
/// programs at most something is kept.
inline constexpr size_t kMostPrograms = 1000;
void learn(const State& state, const wire::Unit& unit, Changes& changes);

}  // namespace godwit::controller
