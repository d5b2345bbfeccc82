// rpc: what every gRPC client and server of Godwit shares. Errors to statuses and back without loss (a refusal keeps
// all its blockers), credentials, channels, the caller's name.
//
//     Result<wire::UnitReply> reply = rpc::from_status(stub->Run(&context, request, &reply), ...)
//
// Threads: all functions may be called from any thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/sites.h"
#include "engine/engine.h"

namespace godwit::rpc {

/// An Error together with the reasons of a refusal: what a user is told.
struct Failure {
  Error error;
  std::vector<engine::Blocker> blockers;
};

/// For servers: the status that carries the failure whole (error_details is a serialised wire.Failure).
grpc::Status to_status(const Error& error, const std::vector<engine::Blocker>& blockers = {});
grpc::Status to_status(const Failure& failure);
/// For clients: the failure behind a status that isn't OK. A status without details (the link broke, the other side is
/// no Godwit) is Code::kPeer with gRPC's words; details that can't be parsed are Code::kPeer, too.
Failure failure_of(const grpc::Status& status);
/// `return rpc::check(stub->Signal(...))`: OK or the Error without its blockers.
Result<void> check(const grpc::Status& status);

/// How long before it goes a node may say so, in seconds: both sides check.
inline constexpr double kLongestNotice = 7 * 24 * 3600.0;

/// Who one is and whom one trusts, all PEM. All empty: no TLS, for tests on one machine only.
struct Identity {
  std::string ca;
  std::string certificate;
  std::string key;
  /// Whose certificates are believed. Without other sites in it that is the own authority alone.
  pki::Sites sites = {};
  [[nodiscard]] bool secure() const { return !ca.empty(); }
};
/// Reads ca.crt, sites/, NAME.crt and NAME.key from a directory; Code::kNotFound if one is missing.
Result<Identity> load_identity(const std::string& dir, const std::string& name);

/// Mutual TLS; the server demands and verifies the client's certificate.
std::shared_ptr<grpc::ServerCredentials> server_credentials(const Identity& identity);
/// TLS with the server's certificate only: for the Join service, whose right is its token.
std::shared_ptr<grpc::ServerCredentials> join_server_credentials(const Identity& identity);
/// A channel to `address` (host:port or unix:PATH) whose server must present a certificate for `peer_name`: by the own site's
/// authority, or for "site/name" by that site's and no other. One of a site that isn't trusted never connects.
/// Dead links are noticed within some 10 s by keep-alive pings; the channel reconnects within a second.
std::shared_ptr<grpc::Channel> channel(const std::string& address, const Identity& identity,
                                       const std::string& peer_name);

/// Who calls, by its certificate: "node-1", "client" of the own site, "away/node-7" of another; empty without TLS, and for a
/// certificate that no trusted authority has signed. So a role ("client", "controller") can only be the own site's.
std::string caller(const grpc::ServerContextBase& context, const Identity& self);

/// Settings that every server uses (keep-alive permitted, message limit, no port sharing).
void set_up(grpc::ServerBuilder& builder);
/// For a server that anybody may ask (Join): besides, nothing that is said to it is larger than `bytes`.
void set_up_open(grpc::ServerBuilder& builder, int bytes);

}  // namespace godwit::rpc
