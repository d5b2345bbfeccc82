// The controller's decisions: pure functions from what is known to what changes. No I/O, no clock, no randomness: time
// and new ids are arguments. Tested through scripts (tests/scripts/*.txt).
//
// THE EPOCH. A unit's row (epoch, node) says who may run it: the holder of the newest epoch, nobody else. Three things
// give a new epoch, each in one transaction that compares the old one: a launch (1), a commit (epoch + 1), and a
// restore (epoch + 1). A copy with an older epoch is *disowned* wherever it turns up, except while a migration of the
// unit isn't final: then its keepers settle it between them by asking commit and resolve.
//
// A MIGRATION is planned → committed | aborted, and final in both. commit() asks "planned, and the unit still in the
// migration's epoch?"; resolve() asks "not committed?". Both compare and set in the same store, so exactly one of them
// wins, whoever asks first, however often each is repeated:
//
//          plan_move            commit (destination asks)
//     ────────────────▶ planned ──────────────────────────▶ committed    unit: epoch + 1, destination
//                          │
//                          └── resolve (either side, or the controller) ─▶ aborted    unit: as it was
#pragma once

#include <set>
#include <string>
#include <vector>

#include "controller/state.h"

namespace godwit::controller {

/// Where a program can run: on nodes of these architectures (empty: it isn't known which), and on emulated ones only if it is
/// portable.
struct Fits {
  std::set<std::string> architectures;
  bool portable = false;
};
/// For what is only kept there.
inline const Fits kAnywhere{{}, true};
/// Whatever its state.
bool takes(const wire::NodeInfo& node, const Fits& fits);
/// Where it can be started.
Fits fits_of(const wire::UnitSpec& spec);
/// Where a unit can go on: what isn't portable needs an architecture like that of the node which it is on.
Fits fits_of(const State& state, const wire::Unit& unit);
/// The engine that takes a unit from its node to another: the wished one, else the pod engine, which carries more, where it can,
/// and the portable one, which goes further.
wire::Grain engine_for(const State& state, const wire::Unit& unit, const wire::NodeInfo& to, wire::Grain wish);

/// The least loaded node that takes new units, except those in `without`, and that the program fits.
/// Load is the greater of the units there (with those on their way) and the machine's load average, per CPU.
Outcome<std::string> place(const State& state, const Now& now, const std::set<std::string>& without, const Fits& fits);

struct RunPlan {
  Changes changes;
  wire::Unit unit;
};
/// A new unit in state STARTING. `node` empty: placed. The spec gets a free name when it has none.
Outcome<RunPlan> plan_run(const State& state, const Now& now, const wire::UnitSpec& spec, const std::string& node,
                          const std::string& new_id);

struct MovePlan {
  Changes changes;
  wire::Migration migration;
};
/// All that the controller itself knows against the move is in the failure's blockers, not only the first of it.
Outcome<MovePlan> plan_move(const State& state, const Now& now, const wire::Unit& unit, const std::string& to,
                            const wire::MoveOptions& options, const std::string& new_id);

struct CommitVerdict {
  Changes changes;  ///< empty when nothing changes: refused, or granted before
  wire::CommitReply reply;
};
CommitVerdict commit(const State& state, const Now& now, const wire::CommitRequest& request);

struct ResolveVerdict {
  Changes changes;
  wire::ResolveReply reply;
};
/// `why` is kept as the migration's error. Fails with kPeer while the migration is uncertain: ask again later.
Outcome<ResolveVerdict> resolve(const State& state, const wire::ResolveRequest& request, const std::string& why);

struct RegisterVerdict {
  Changes changes;
  std::vector<wire::Disown> disown;
  std::vector<std::string> certain;  ///< migrations that are no longer uncertain
  std::vector<std::string> notes;  ///< for the log
  /// Units that the node didn't name were given to it meanwhile: it may not have known. It is to register again.
  bool again = false;
};
/// So many nodes of one other site are known at a time: its authority can name any number of them.
inline constexpr size_t kMaxNodesOfSite = 256;
/// Whether `node` is known, of the own site, or not one too many of its site.
bool has_room(const State& state, const std::string& node);
/// A node says who it is and which units it has.
RegisterVerdict registered(const State& state, const Now& now, const wire::RegisterRequest& request);
/// The units of a heartbeat: which of them the node doesn't own (any more).
std::vector<wire::Disown> disowned(const State& state, const std::string& node,
                                   const google::protobuf::RepeatedPtrField<wire::UnitLoad>& units);

/// The units of a heartbeat that were taken for lost: a node may register before it knows what a commit gave it.
Changes found_again(const State& state, const std::string& node,
                    const google::protobuf::RepeatedPtrField<wire::UnitLoad>& units);

/// The unit ended on `node`. Nothing changes when that isn't its present incarnation.
Changes exited(const State& state, const wire::UnitExitedRequest& request);

/// The units that a drain moves, in order, and the node's new state.
struct DrainPlan {
  Changes changes;
  std::vector<std::string> units;
};
Outcome<DrainPlan> plan_drain(const State& state, const Now& now, const std::string& node);

struct RestorePlan {
  Changes changes;
  wire::Unit unit;  ///< as it will be: STARTING with its new epoch
  wire::Unit old;  ///< what to put back when the restore is refused by the node; no id for a branch
  std::string old_work;  ///< with it: put_back_work() of sched_view.h
};
struct RestoreWish {
  std::string node;  ///< empty: placed
  bool branch = false;
  std::string name;  ///< of the branch; empty: made
};
/// `of` is the unit that the checkpoint belongs to. In place, unless `branch`: then it must not run anywhere.
Outcome<RestorePlan> plan_restore(const State& state, const Now& now, const wire::Unit& of, uint32_t number,
                                  const RestoreWish& wish, const std::string& new_id);

/// "word", "word-2", "word-3" …: the first that no live unit has.
std::string free_name(const State& state, const std::string& word);

}  // namespace godwit::controller
