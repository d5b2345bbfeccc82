// A node's part in delegations: its key for trace entries, and what it looks at before a unit starts.
#pragma once

#include <string>
#include <vector>

#include "delegation/delegation.h"
#include "godwit/common.pb.h"
#include "node/place.h"
#include "rpc/rpc.h"

namespace godwit::node {

/// STATE/trace.key, made when it isn't there. Its public half is registered with the controller.
Result<delegation::PrivateKey> trace_key(const std::string& state_dir);

/// The document of what is to start here: its signature, and whether it was signed for this program and these arguments. No
/// document is no objection. `root`: the node's own, when it isn't the machine's; then the program can't be looked at.
std::expected<void, rpc::Failure> check_papers(const wire::UnitSpec& spec, const std::string& state_dir,
                                               const std::string& root, const Place& place);
/// A unit that comes from another site: whether it may, as far as can be said before anything of it is here.
std::expected<void, rpc::Failure> check_passage(const std::string& passage, const pki::Sites& sites, const Place& place,
                                                const std::string& source);
/// What its document and the caveats since let a unit do here, this node's own word (STATE/caveat.json) counted in.
struct Papers {
  std::string document;  ///< empty: none
  std::vector<std::string> caveats = {};
};
/// Whether they let the unit be here, now. A node that was lent to another site's grid takes no unit without a document.
std::expected<void, rpc::Failure> check_place(const Papers& papers, const std::string& state_dir, const Place& place);
/// The same of a unit that is elsewhere, and what of it this machine can't enforce: everything, for `godwit check`.
std::vector<engine::Blocker> paper_blockers(const Papers& papers, const std::string& state_dir, const Place& place);

}  // namespace godwit::node
