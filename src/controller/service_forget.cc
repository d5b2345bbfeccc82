// Forgetting checkpoints, so that a history doesn't grow for ever.
//
// A row goes only when every node that held the image has dropped it: a node that doesn't answer stays in the row, the
// caller is told, and the same request does the rest later. The chunks go with the node's next collection, if no other
// image has them.
#include <fmt/format.h>

#include <algorithm>

#include "base/base.h"
#include "controller/services.h"

namespace godwit::controller {
namespace {

constexpr std::chrono::milliseconds kShort{10'000};

/// What the request names, oldest first. A unit that may still be lost keeps its newest checkpoint.
Outcome<std::vector<wire::Checkpoint>> named(const State& s, const wire::Unit& unit,
                                             const wire::ForgetRequest& request) {
  std::vector<wire::Checkpoint> all;
  for (auto it = s.checkpoints.lower_bound({unit.id(), 0}); it != s.checkpoints.end() && it->first.first == unit.id();
       ++it)
    all.push_back(it->second);
  std::vector<wire::Checkpoint> out;
  if (request.keep() > 0) {
    if (all.size() > request.keep()) out.assign(all.begin(), all.end() - request.keep());
    return out;
  }
  const std::string& name = unit.spec().name();
  for (const uint32_t number : request.numbers()) {
    const auto it = std::ranges::find(all, number, &wire::Checkpoint::number);
    if (it == all.end())
      return failure(Code::kNotFound,
                     fmt::format("{} has no checkpoint {}; see: godwit history {}", name, number, name));
    const bool newest = number == all.back().number();
    if (newest && unit.state() != wire::EXITED)
      return failure(Code::kRefused, fmt::format("{}@{} is the newest of a unit that has not ended: it could not be "
                                                 "brought back; take another first: godwit checkpoint {}",
                                                 name, number, name));
    out.push_back(*it);
  }
  return out;
}

}  // namespace

/// Returns with the nodes that still hold a copy in `checkpoint`.
void UserService::drop_copies(wire::Checkpoint& checkpoint) const {
  std::vector<std::string> left;
  for (const auto& name : checkpoint.nodes()) {
    auto node = parts_.peers.live_node(name);
    grpc::ClientContext call;
    limit(call, kShort);
    wire::ImageRequest request;
    request.set_image(checkpoint.image());
    wire::Empty reply;
    if (!node || !(*node)->DropImage(&call, request, &reply).ok()) left.push_back(name);
  }
  checkpoint.mutable_nodes()->Assign(left.begin(), left.end());
}

grpc::Status UserService::Forget(Context* context, const wire::ForgetRequest* request, wire::ForgetReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  if (request->numbers().empty() == (request->keep() == 0))
    return rpc::to_status(Error{Code::kUsage, 0, "either numbers of checkpoints or how many to keep"});
  auto unit = find(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  auto chosen = parts_.ledger.read([&](const State& s, const Now&) { return named(s, *unit, *request); });
  if (!chosen) return rpc::to_status(chosen.error());
  for (auto& checkpoint : *chosen) {
    drop_copies(checkpoint);
    const bool gone = checkpoint.nodes().empty();
    auto noted = parts_.ledger.decide([&](const State&, const Now&) {
      Changes changes;
      if (gone)
        changes.removed_checkpoints.emplace_back(checkpoint.unit(), checkpoint.number());
      else
        changes.checkpoints.push_back(checkpoint);
      return changes;
    });
    if (!noted) return rpc::to_status(noted.error());
    *(gone ? reply->add_forgotten() : reply->add_left()) = checkpoint;
    log::info("checkpoint {} unit={} number={}", gone ? "forgotten" : "kept by nodes that don't answer",
              checkpoint.unit(), checkpoint.number());
  }
  return grpc::Status::OK;
}

}  // namespace godwit::controller
