// Units that run under a delegation: what the controller keeps of each, and its part as their log (delegation/trace.cc).
//
// A unit's row is made with the unit and changed with each of its new epochs, in the same transaction: by the entry of a
// handover (append()), or, when the store itself gives a unit to a node (a restore, a commit that a power cut took from the
// file), by keep_up(). All pure, like decide.h.
#pragma once

#include <string>
#include <vector>

#include "controller/state.h"
#include "delegation/delegation.h"

namespace godwit::controller {

/// "site/node" of a node as it is called here: the own site's by their names alone, others as "site/node".
std::string full_name(const State& state, const std::string& node);
/// Whether it is a node of another site. A unit goes there only with a document: without one nobody's consent could be shown.
bool is_foreign(const std::string& node);
std::set<std::string> foreign_nodes(const State& state);
/// What is said then.
rpc::Failure no_document(const std::string& node);

/// "expired: …" with the row's code as a blocker's.
rpc::Failure failure_of(const delegation::Refusal& why, const std::string& object);

/// Whom this site believes in what concerns this document: its user, the site's own log, and of its nodes those that are named
/// ("site/node"), by the keys that they registered with. Never all: this is asked at each move, in its freeze, and goes with it.
delegation::Trust trust_of(const State& state, const delegation::Document& document,
                           const std::vector<std::string>& nodes);

/// Envelopes of the caveats, in their order.
std::vector<std::string> caveats_of(const delegation::Authority& authority);

/// The document of a unit that is to start at `node`. The caller is a user of this grid, so the key is a user's.
Outcome<Delegated> begin(const State& state, const Now& now, const std::string& unit, const std::string& document,
                         const std::string& node);
/// Nodes where the document doesn't let a unit start; none of a document that can't be read.
std::set<std::string> forbidden_nodes(const State& state, const std::string& document);
/// Nodes where the unit's document doesn't let it be.
std::set<std::string> forbidden_nodes_of(const State& state, const std::string& unit);
/// What the unit's document has against going on from a checkpoint at this node. A branch would be a second instance.
std::vector<engine::Blocker> restore_blockers(const State& state, const Now& now, const std::string& unit, bool branch,
                                              const std::string& to);

/// Everything that the unit's document has against this operation; `to` is the destination, or empty.
std::vector<engine::Blocker> blockers(const State& state, const Now& now, const std::string& unit,
                                      std::string_view operation, const std::string& to);

/// The row behind the entry that came with the commit of this move, which may be none of another epoch or destination.
Outcome<Delegated> append(const State& state, const Now& now, const wire::Migration& migration,
                          const std::string& statement);
/// Rows of units that `changes` gives to a node without an entry.
void keep_up(const State& state, Changes& changes);

/// What both nodes of a move need; empty for a unit without a document. `log` signs the head.
Result<std::string> passage(const State& state, const Now& now, const wire::Migration& migration,
                            const delegation::PrivateKey& log);
/// The log's key: STATE/log.key, made when it isn't there.
Result<delegation::PrivateKey> log_key(const std::string& state_dir);

/// The unit whose document has this revocation id; empty: none.
std::string unit_with_revocation(const State& state, const std::string& id);

// As it lies in the store.
std::string to_bytes(const Delegated& row);
Result<Delegated> delegated_of(const std::string& unit, const std::string& bytes);

}  // namespace godwit::controller
