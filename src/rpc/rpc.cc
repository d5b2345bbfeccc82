#include "rpc/rpc.h"

#include <algorithm>

#include "base/io.h"
#include "godwit/common.pb.h"

namespace godwit::rpc {
namespace {

// Nothing that is said through gRPC is large: bulk goes in pieces of at most 256 KiB (Data) or past gRPC altogether.
constexpr int kMessageLimit = 8 << 20;
constexpr int kReconnectMs = 500;
// How long one attempt may take, whatever gRPC calls it. A machine with a hundred tasks that want its CPUs needs seconds for
// a handshake; a lost packet is sent again after one second and after three.
constexpr int kConnectMs = 8000;
// A server gives whoever connects so long to say who he is (gRPC's default is two minutes); as long as a client of ours tries.
constexpr int kHandshakeMs = kConnectMs;
constexpr int kServerThreadsKept = 8;
constexpr int kOpenThreads = 16;  // of a server that anybody may ask
constexpr int kKeepaliveMs = 5000;

grpc::StatusCode status_code(Code code) {
  switch (code) {
    case Code::kUsage: return grpc::StatusCode::INVALID_ARGUMENT;
    case Code::kRefused: return grpc::StatusCode::FAILED_PRECONDITION;
    case Code::kFailed: return grpc::StatusCode::ABORTED;
    case Code::kNotFound: return grpc::StatusCode::NOT_FOUND;
    case Code::kCorrupt: return grpc::StatusCode::DATA_LOSS;
    case Code::kPeer: return grpc::StatusCode::UNAVAILABLE;
    case Code::kSystem: return grpc::StatusCode::INTERNAL;
    case Code::kGone: return grpc::StatusCode::OUT_OF_RANGE;
    case Code::kChanged: return grpc::StatusCode::ABORTED;
  }
  return grpc::StatusCode::UNKNOWN;
}

// gRPC tells of its own parts ("tcp handshaker shutdown", "UNKNOWN: ipv4:…"); a user is told what happened to the connection.
struct Saying {
  const char* theirs;  // a part of the message
  const char* ours;
};
constexpr Saying kUnavailable[] = {
    {"Connection refused", "nothing listens there (connection refused)"},
    {"No such file or directory", "nothing listens there (no such socket)"},
    {"Permission denied", "this user may not connect (permission denied)"},
    {"No route to host", "no route to that host"},
    {"Network is unreachable", "the network is unreachable"},
    {"CERTIFICATE_VERIFY_FAILED", "one side does not trust the other's certificate"},
    {"Ssl handshake failed", "the TLS handshake failed: are both of the same grid?"},
    {"Socket closed", "the connection broke"},
    {"Connection reset", "the connection broke"},
    {"Broken pipe", "the connection broke"},
    {"GOAWAY", "it is shutting down"},
    {"handshaker shutdown", "it took the connection but did not answer"},
    {"keepalive", "the connection is dead: nothing was heard for some seconds"},
    {"failed to connect to all addresses", "it can't be reached"},
};

std::string words_of(const grpc::Status& status) {
  const std::string said = status.error_message();
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return "no answer in time";
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED)
    return "it does not know this request: another version of Godwit?";
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return said;
  const auto* known = std::ranges::find_if(
      kUnavailable, [&](const Saying& saying) { return said.find(saying.theirs) != std::string::npos; });
  return known == std::end(kUnavailable) ? said : known->ours;
}

}  // namespace

grpc::Status to_status(const Error& error, const std::vector<engine::Blocker>& blockers) {
  wire::Failure failure;
  failure.set_code(static_cast<int>(error.code));
  failure.set_errnum(error.errnum);
  failure.set_text(error.text);
  for (const auto& b : blockers) {
    auto* out = failure.add_blockers();
    out->set_code(b.code);
    out->set_object(b.object);
    out->set_reason(b.reason);
    out->set_lift(b.lift);
  }
  return {status_code(error.code), error.message(), failure.SerializeAsString()};
}

grpc::Status to_status(const Failure& failure) { return to_status(failure.error, failure.blockers); }

Failure failure_of(const grpc::Status& status) {
  wire::Failure wire;
  const std::string details = status.error_details();
  if (details.empty() || !wire.ParseFromString(details)) {
    const bool cancelled = status.error_code() == grpc::StatusCode::CANCELLED;
    return {Error{cancelled ? Code::kGone : Code::kPeer, 0, words_of(status)}, {}};
  }
  Failure failure{Error{code_of(wire.code()), wire.errnum(), wire.text()}, {}};
  for (const auto& b : wire.blockers()) failure.blockers.push_back({b.code(), b.object(), b.reason(), b.lift()});
  return failure;
}

Result<void> check(const grpc::Status& status) {
  if (status.ok()) return {};
  return std::unexpected(failure_of(status).error);
}

Result<Identity> load_identity(const std::string& dir, const std::string& name) {
  Identity identity;
  TRY(identity.ca, io::read_file(dir + "/ca.crt", 1 << 20));
  TRY(identity.certificate, io::read_file(dir + "/" + name + ".crt", 1 << 20));
  TRY(identity.key, io::read_file(dir + "/" + name + ".key", 1 << 20));
  TRY(identity.sites, pki::Sites::load(dir));
  return identity;
}

namespace {

std::string roots_of(const Identity& identity) {
  return identity.sites.trusted().empty() ? identity.ca : identity.sites.bundle();
}

}  // namespace

std::shared_ptr<grpc::ServerCredentials> server_credentials(const Identity& identity) {
  if (!identity.secure()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = roots_of(identity);
  options.pem_key_cert_pairs.push_back({identity.key, identity.certificate});
  return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::ServerCredentials> join_server_credentials(const Identity& identity) {
  if (!identity.secure()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  // With the authority in the chain: the joining machine finds the one that its token names.
  options.pem_key_cert_pairs.push_back({identity.key, identity.certificate + identity.ca});
  return grpc::SslServerCredentials(options);
}

std::shared_ptr<grpc::Channel> channel(const std::string& address, const Identity& identity,
                                       const std::string& peer_name) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageLimit);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // a proxy in the environment is for the web, not for nodes
  if (!identity.secure()) return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  // Of another site: by its authority only. When that isn't trusted the whole "site/name" is demanded, which no certificate has.
  const auto [site, name] = pki::split_name(peer_name);
  const auto authority = site.empty() ? identity.ca : identity.sites.authority(site).value_or("");
  if (!peer_name.empty()) arguments.SetSslTargetNameOverride(authority.empty() ? peer_name : name);
  grpc::SslCredentialsOptions options{authority.empty() ? identity.ca : authority, identity.key, identity.certificate};
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(options), arguments);
}

std::string caller(const grpc::ServerContextBase& context, const Identity& self) {
  const auto auth = context.auth_context();
  if (!auth || !auth->IsPeerAuthenticated()) return {};
  if (!self.sites.trusted().empty()) {
    const auto certificates = auth->FindPropertyValues("x509_pem_cert");
    if (certificates.size() != 1) return {};
    return self.sites.name_of({certificates.front().data(), certificates.front().size()}).value_or("");
  }
  const auto names = auth->FindPropertyValues("x509_common_name");
  if (names.empty()) return {};
  return {names.front().data(), names.front().size()};
}

void set_up(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMessageLimit);
  // A call that finds only one thread waiting first makes another (gRPC's default is to keep at most two), and a commit is
  // such a call.
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, kServerThreadsKept);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
}

void set_up_open(grpc::ServerBuilder& builder, int bytes) {
  set_up(builder);
  builder.SetMaxReceiveMessageSize(bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1);
  grpc::ResourceQuota quota("open");
  quota.SetMaxThreads(kOpenThreads);
  builder.SetResourceQuota(quota);
}

}  // namespace godwit::rpc
