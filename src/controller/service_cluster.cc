// What nodes ask: registration, heartbeats, THE COMMIT POINT, ends of units; and how a new machine joins.
#include <fmt/format.h>

#include "base/base.h"
#include "controller/decide.h"
#include "controller/delegated.h"
#include "controller/leave.h"
#include "controller/services.h"

namespace godwit::controller {
namespace {
constexpr uint32_t kSoonMs = 50;
// Of another site's node: a registration of one with a thousand units has some 300 KiB.
constexpr size_t kMaxForeignSays = 1u << 20;

/// Who speaks for another site is known by name, but may be as many and say as much as he likes: here that ends.
grpc::Status within_limits(const Ledger& ledger, const std::string& node, size_t bytes) {
  const auto refuse = [&](std::string reason) {
    return rpc::to_status(Error{Code::kRefused, 0, "a site asks for too much"},
                          {{"site-limit", "node " + node, std::move(reason), ""}});
  };
  if (!is_foreign(node)) return grpc::Status::OK;
  if (bytes > kMaxForeignSays)
    return refuse(fmt::format("{} bytes at once, at most {} are read", bytes, kMaxForeignSays));
  if (!ledger.read([&](const State& s, const Now&) { return has_room(s, node); }))
    return refuse(fmt::format("its site has {} nodes here already", kMaxNodesOfSite));
  return grpc::Status::OK;
}

}  // namespace

grpc::Status ClusterService::authorize(const Context& context, const std::string& node) const {
  if (!parts_.secure || rpc::caller(context, parts_.self) == node) return grpc::Status::OK;
  return rpc::to_status(
      Error{Code::kRefused, 0, fmt::format("{} can't speak for node {}", rpc::caller(context, parts_.self), node)});
}

grpc::Status ClusterService::Register(Context* context, const wire::RegisterRequest* request,
                                      wire::RegisterReply* reply) {
  if (auto no = authorize(*context, request->node().name()); !no.ok()) return no;
  const auto [site, name] = pki::split_name(request->node().name());
  const bool named = pki::valid_name(name) && !pki::reserved_name(name) && (site.empty() || pki::valid_name(site));
  if (!named || site == parts_.self.sites.own())
    return rpc::to_status(Error{Code::kUsage, 0, fmt::format("\"{}\" can't be a node's name", request->node().name())});
  if (auto no = within_limits(parts_.ledger, request->node().name(), request->ByteSizeLong()); !no.ok()) return no;
  auto verdict = parts_.ledger.register_node(*request);
  if (!verdict) return rpc::to_status(verdict.error());
  for (const auto& note : verdict->notes) log::warn("{}", note);
  log::info("node registered node={} address={} units={}", request->node().name(), request->node().control(),
            request->units_size());
  reply->set_heartbeat_ms(verdict->again ? kSoonMs : kHeartbeatMs);
  for (const auto& d : verdict->disown) *reply->add_disown() = d;
  return grpc::Status::OK;
}

grpc::Status ClusterService::Heartbeat(Context* context, const wire::HeartbeatRequest* request,
                                       wire::HeartbeatReply* reply) {
  if (auto no = authorize(*context, request->node()); !no.ok()) return no;
  if (auto no = within_limits(parts_.ledger, request->node(), request->ByteSizeLong()); !no.ok()) return no;
  // A controller that was started anew hasn't heard what the node has: it must register first.
  const bool unknown =
      parts_.ledger.read([&](const State& s, const Now&) { return !s.registered.contains(request->node()); });
  reply->set_unknown(unknown);
  if (unknown) return grpc::Status::OK;
  parts_.ledger.heard(*request);
  const auto found = [&](const State& s, const Now&) { return found_again(s, request->node(), request->units()); };
  if (!parts_.ledger.read(found).units.empty()) (void)parts_.ledger.decide(found);
  const auto heed = [&](const State& s, const Now& now) {
    return heed_notice(s, now, request->node(), request->load());
  };
  if (request->load().has_notice() && !parts_.ledger.read(heed).nodes.empty()) {
    if (const auto heeded = parts_.ledger.decide(heed); heeded)
      log::warn("node {} says that it goes in {:.0f} s", request->node(), request->load().notice().seconds());
  }
  for (const auto& r : request->receiving()) {
    const bool over = parts_.ledger.read([&](const State& s, const Now&) {
      const auto it = s.migrations.find(r.migration());
      return it != s.migrations.end() && it->second.state() == wire::ABORTED;
    });
    if (over) *reply->add_release() = r;
  }
  for (const auto& d :
       parts_.ledger.read([&](const State& s, const Now&) { return disowned(s, request->node(), request->units()); }))
    *reply->add_disown() = d;
  return grpc::Status::OK;
}

grpc::Status ClusterService::Commit(Context* context, const wire::CommitRequest* request, wire::CommitReply* reply) {
  if (auto no = authorize(*context, request->node()); !no.ok()) return no;
  if (auto passed = fault::pass("controller.commit"); !passed) return rpc::to_status(passed.error());
  auto verdict = parts_.ledger.decide([&](const State& s, const Now& now) { return commit(s, now, *request); });
  // The store could not write (full disk): nothing is decided, the node asks again.
  if (!verdict) return rpc::to_status(verdict.error().error.as(Code::kPeer));
  if (auto passed = fault::pass("controller.committed"); !passed) return rpc::to_status(passed.error());
  *reply = verdict->reply;
  log::info("commit migration={} unit={} node={} granted={} epoch={} {}", request->migration(), request->unit(),
            request->node(), reply->granted(), reply->epoch(), reply->reason());
  return grpc::Status::OK;
}

grpc::Status ClusterService::CommitSoon(Context* context,
                                        grpc::ServerReaderWriter<wire::CommitReply, wire::CommitRequest>* stream) {
  // Each holds a thread until its caller has asked or gone.
  constexpr int kMost = 64;
  struct Here {
    std::atomic<int>& count;
    ~Here() { count--; }
  } const here{open_commits_};
  if (++here.count > kMost) return {grpc::StatusCode::RESOURCE_EXHAUSTED, "enough commits are on their way"};
  wire::CommitRequest request;
  while (stream->Read(&request)) {
    wire::CommitReply reply;
    if (auto done = Commit(context, &request, &reply); !done.ok()) return done;
    if (!stream->Write(reply)) break;
  }
  return grpc::Status::OK;
}

grpc::Status ClusterService::Resolve(Context* context, const wire::ResolveRequest* request, wire::ResolveReply* reply) {
  if (auto no = authorize(*context, request->node()); !no.ok()) return no;
  const std::string what = request->reason().empty() ? "it heard nothing from the other side" : request->reason();
  const std::string why = fmt::format("node {}: {}", request->node(), what);
  auto verdict = parts_.ledger.decide([&](const State& s, const Now&) { return resolve(s, *request, why); });
  if (!verdict) return rpc::to_status(verdict.error().error.as(Code::kPeer));
  *reply = verdict->reply;
  log::info("resolve migration={} node={} state={}", request->migration(), request->node(),
            wire::MigrationState_Name(reply->state()));
  return grpc::Status::OK;
}

grpc::Status ClusterService::UnitExited(Context* context, const wire::UnitExitedRequest* request, wire::Empty*) {
  if (auto no = authorize(*context, request->node()); !no.ok()) return no;
  auto done = parts_.ledger.decide([&](const State& s, const Now&) { return exited(s, *request); });
  if (!done) return rpc::to_status(done.error().error.as(Code::kPeer));
  log::info("unit ended unit={} node={} status={} signal={}", request->unit(), request->node(),
            request->exit().status(), request->exit().signal());
  return grpc::Status::OK;
}

grpc::Status JoinService::Join(grpc::ServerContext*, const wire::JoinRequest* request, wire::JoinReply* reply) {
  const auto refuse = [](std::string text) { return rpc::to_status(Error{Code::kRefused, 0, std::move(text)}); };
  if (parts_.authority.key.empty()) return refuse("this controller has no authority to let nodes join");
  if (!pki::valid_name(request->node()) || pki::reserved_name(request->node()))
    return refuse(fmt::format("\"{}\" can't be a node's name", request->node()));
  const std::string digest = pki::sha256_hex(request->token());
  struct Used {
    Changes changes;
  };
  auto used = parts_.ledger.decide([&](const State& s, const Now& now) -> Outcome<Used> {
    const auto it = s.tokens.find(digest);
    if (it == s.tokens.end() || it->second.expires_ms < now.wall_ms)
      return failure(Code::kRefused,
                     "this token isn't known, was used, or has expired; make one with: godwit token create");
    if (!it->second.node.empty() && it->second.node != request->node())
      return failure(Code::kRefused, fmt::format("this token is for node {}", it->second.node));
    if (s.nodes.contains(request->node()) && !is_gone(s, now, request->node()))
      return failure(Code::kRefused,
                     fmt::format("a node named {} is here already; choose another --name", request->node()));
    Used out;
    out.changes.removed_tokens.push_back(digest);
    return out;
  });
  if (!used) return rpc::to_status(used.error());
  auto certificate = pki::sign_request(parts_.authority, request->csr(), request->node());
  if (!certificate) return rpc::to_status(certificate.error());
  reply->set_certificate(*certificate);
  reply->set_ca(parts_.authority.certificate);
  log::info("node joined node={}", request->node());
  return grpc::Status::OK;
}

}  // namespace godwit::controller
