// Trace and Revoke: what the controller says and hears as the log of delegations.
#include <fmt/format.h>

#include "base/base.h"
#include "controller/delegated.h"
#include "controller/services.h"

namespace godwit::controller {

namespace dl = delegation;

grpc::Status UserService::Trace(Context* context, const wire::UnitRequest* request, wire::TraceReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = parts_.ledger.read([&](const State& s, const Now&) -> Outcome<std::string> {
    if (const std::string found = unit_with_revocation(s, request->unit()); !found.empty()) return found;
    TRY(const wire::Unit found, find_unit(s, request->unit()));
    return found.id();
  });
  if (!unit) return rpc::to_status(unit.error());
  auto row = parts_.ledger.read([&](const State& s, const Now&) -> Outcome<Delegated> {
    const auto it = s.delegations.find(*unit);
    if (it == s.delegations.end())
      return failure(Code::kNotFound,
                     "that unit runs without a delegation; its user had no key (godwit key new) when it was started");
    for (const auto& [name, node] : s.nodes)
      if (dl::public_key_of(node.trace_key())) (*reply->mutable_nodes())[full_name(s, name)] = node.trace_key();
    return it->second;
  });
  if (!row) return rpc::to_status(row.error());
  // After the row: it may have grown since, and the head says how long it was.
  auto entries = parts_.ledger.handovers(*unit);
  if (!entries) return rpc::to_status(entries.error());
  reply->set_unit(*unit);
  reply->set_document(row->log.authority.document.envelope.encode());
  for (const auto& c : row->log.authority.caveats) reply->add_caveats(c.envelope.encode());
  for (size_t i = 0; i < entries->size() && i < row->log.head.sequence; ++i) reply->add_entries((*entries)[i]);
  const auto head = row->log.head.sign(parts_.log);
  if (!head) return rpc::to_status(head.error().error());
  reply->set_head(head->encode());
  reply->set_site(row->log.head.log);
  reply->set_log_key(parts_.log.public_key().base64());
  return grpc::Status::OK;
}

grpc::Status UserService::Revoke(Context* context, const wire::RevokeRequest* request, wire::Empty*) {
  if (auto no = authorize(*context); !no.ok()) return no;
  struct Revoked {
    Changes changes;
  };
  auto done = parts_.ledger.decide([&](const State& s, const Now&) -> Outcome<Revoked> {
    const auto it = s.delegations.find(request->unit());
    if (it == s.delegations.end()) return failure(Code::kNotFound, "no such delegation");
    const auto read = dl::read_revocation(request->revocation(), it->second.log.authority.document);
    if (!read) return std::unexpected(failure_of(read.error(), "the revocation"));
    Revoked out;
    out.changes.revocations.push_back(read->revocation);
    return out;
  });
  if (!done) return rpc::to_status(done.error());
  log::info("delegation revoked unit={}", request->unit());
  return grpc::Status::OK;
}

}  // namespace godwit::controller
