// What the controller knows, as plain values, and the changes to it.
//
// State is never changed in place by a decision: a decision (decide.h) is a pure function from a State to Changes, the
// Store writes the Changes in one transaction, and only then are they applied here (ledger.h). So a decision can be
// tested without any I/O, and the memory can't be ahead of the file.
//
// Two parts of State are not in the file because they are renewed every second or made again by asking: `seen` and the
// `load` fields of nodes and units.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "delegation/delegation.h"
#include "godwit/control.pb.h"
#include "rpc/rpc.h"

namespace godwit::controller {

template <typename T>
using Outcome = std::expected<T, rpc::Failure>;

inline std::unexpected<rpc::Failure> failure(Code code, std::string text) {
  return std::unexpected(rpc::Failure{Error{code, 0, std::move(text)}, {}});
}

/// The time, given to every decision: wall clock for records, monotonic for "how long ago".
struct Now {
  int64_t wall_ms = 0;
  int64_t monotonic_ms = 0;
};

/// A node that hasn't been heard of for so long is GONE. Heartbeats come every kHeartbeatMs.
inline constexpr int64_t kHeartbeatMs = 1000;
inline constexpr int64_t kGoneMs = 5000;

struct JoinToken {
  std::string token;  ///< its SHA-256: a copy of the file lets nobody in
  std::string node;  ///< empty: any
  int64_t expires_ms = 0;
};

/// The delegation of a unit that has one (delegated.h).
struct Delegated {
  std::string unit;
  delegation::LogState log;
  std::string last;  ///< the last entry's envelope; empty: no handover yet
};

/// What must still hold in the file when Changes are written: the compare of compare-and-set.
struct UnitGuard {
  std::string unit;
  uint64_t epoch = 0;
};
struct MigrationGuard {
  std::string migration;
  wire::MigrationState state = wire::PLANNED;
};

struct Changes {
  std::vector<wire::Unit> units;
  std::vector<std::string> removed_units;
  std::vector<wire::NodeInfo> nodes;
  std::vector<wire::Migration> migrations;
  std::vector<wire::Checkpoint> checkpoints;
  std::vector<std::pair<std::string, uint32_t>> removed_checkpoints;
  std::vector<JoinToken> tokens;
  std::vector<std::string> removed_tokens;
  std::vector<std::pair<std::string, std::string>> meta;  ///< names begin with "sched."
  std::vector<std::string> removed_meta;
  std::vector<Delegated> delegations;
  std::vector<std::string> revocations;  ///< ids
  std::string heard;  ///< the node whose registration this is; not for the file
  std::optional<UnitGuard> unit_guard;
  std::optional<MigrationGuard> migration_guard;
  /// False only for a commit: it waits for no disk (docs/design/commit.md).
  bool durable = true;
  [[nodiscard]] bool empty() const {
    return units.empty() && removed_units.empty() && nodes.empty() && migrations.empty() && checkpoints.empty() &&
           removed_checkpoints.empty() && tokens.empty() && removed_tokens.empty() && meta.empty() &&
           removed_meta.empty() && delegations.empty() && revocations.empty();
  }
};

struct State {
  std::map<std::string, wire::Unit> units;  ///< by id
  std::map<std::string, wire::NodeInfo> nodes;
  std::map<std::string, wire::Migration> migrations;
  std::map<std::pair<std::string, uint32_t>, wire::Checkpoint> checkpoints;  ///< by (unit, number)
  std::map<std::string, JoinToken> tokens;
  std::map<std::string, std::string>
      meta;  ///< what rescheduling keeps: its policy, work of programs and units (sched_view.h)
  std::string secret;  ///< key of the epoch tokens
  std::map<std::string, Delegated> delegations;  ///< by unit
  std::set<std::string> revoked;                 ///< revocation ids
  std::optional<delegation::PublicKey> log_key;  ///< of this controller as a log; not in the file
  std::string site{pki::kDefaultSite};  ///< whose controller this is; its nodes' names stand alone
  std::set<std::string> sites;  ///< that it trusts besides: their nodes are "site/node". Not in the file

  std::map<std::string, std::string> open_moves;  ///< unit → its planned migration; follows from `migrations`
  std::map<std::string, int64_t> seen;  ///< node → monotonic ms of its last sign of life; not in the file
  /// Nodes that have said what they have since this controller started; the others are asked to. Not in the file.
  std::set<std::string> registered;
  /// Migrations that the file shows as planned after a power cut: they may have been committed. Only the destination
  /// knows, so nobody is answered before it has registered. Not in the file.
  std::set<std::string> uncertain;
  /// What a node says of its units may have been on its way while one of them was given to it. So changes are counted; when
  /// each unit was last given to a node since this controller started, and the count at each node's last registration: what
  /// it says next it has looked at later. Not in the file.
  uint64_t turn = 0;
  std::map<std::string, uint64_t> given;  ///< by unit
  std::map<std::string, uint64_t> heard_at;  ///< by node

  void apply(const Changes& changes);
};

/// Ended for good, as far as the file knows.
inline bool is_live(const wire::Unit& unit) { return unit.state() != wire::EXITED; }
bool is_gone(const State& state, const Now& now, const std::string& node);
/// The unit's migration that isn't final; null when there is none.
const wire::Migration* open_migration(const State& state, const std::string& unit);
/// READY, CORDONED or GONE at this moment.
wire::NodeState node_state(const State& state, const Now& now, const wire::NodeInfo& node);

/// The unit as a user sees it now: MOVING and LOST are never stored, they follow from migrations and nodes.
wire::Unit view(const State& state, const Now& now, const wire::Unit& unit);
wire::NodeInfo view(const State& state, const Now& now, const wire::NodeInfo& node);

/// By id, by name (a live unit first, then the newest), or by an unambiguous beginning of the id (3 digits or more).
/// Not found: the error names the closest names there are.
Outcome<wire::Unit> find_unit(const State& state, std::string_view word);
/// The number that the unit's next checkpoint gets.
uint32_t next_checkpoint(const State& state, const std::string& unit);
/// `number` 0: the newest. `word` is what the user calls the unit.
Outcome<wire::Checkpoint> find_checkpoint(const State& state, const std::string& unit, const std::string& word,
                                          uint32_t number);
/// What is said when no node that has it can be asked.
rpc::Failure nobody_holds(const std::string& word, uint32_t number);
Outcome<wire::NodeInfo> find_node(const State& state, std::string_view name);
/// "; did you mean a, b?" out of what is close enough, or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

}  // namespace godwit::controller
