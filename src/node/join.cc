// How a machine becomes a node. It has no certificate and trusts nobody yet; all it has is the token, which was carried
// to it by a person and says two things: TOKEN.DIGEST, a one-time right to join, and whom to believe.
//
// So first the server's certificates are fetched without believing them. Among them must be an authority whose SHA-256 is
// DIGEST. Only then is that authority trusted, the server verified against it, and the token told to anybody.
#include <netdb.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/base.h"
#include "base/pki.h"
#include "godwit/control.grpc.pb.h"
#include "node/node.h"
#include "rpc/rpc.h"

namespace godwit::node {
namespace {

using nlohmann::json;

constexpr timeval kConnectLimit{10, 0};
constexpr size_t kDigestLength = 64;

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};

struct Address {
  std::string host;
  int port = 0;
};
Result<Address> split(const std::string& text) {
  const size_t colon = text.rfind(':');
  Address out;
  const char* end = text.data() + text.size();
  if (colon == std::string::npos || colon == 0 || std::from_chars(text.data() + colon + 1, end, out.port).ptr != end ||
      out.port < 1 || out.port > 65534) {
    return fail(Code::kUsage, "--controller wants HOST:PORT, not \"" + text + "\"");
  }
  out.host = text.substr(0, colon);
  return out;
}

Result<Fd> connect_to(const Address& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int bad = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found)) {
    return fail(Code::kNotFound, "no address of " + address.host + ": " + ::gai_strerror(bad));
  }
  const std::unique_ptr<addrinfo, Freer<::freeaddrinfo>> list(found);
  int why = ECONNREFUSED;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    Fd fd(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) continue;
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kConnectLimit, sizeof kConnectLimit);
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kConnectLimit, sizeof kConnectLimit);
    if (::connect(fd.get(), a->ai_addr, a->ai_addrlen) == 0) return fd;
    why = errno;
  }
  Error e{Code::kPeer, why, "no controller answers at " + address.host + ":" + std::to_string(address.port)};
  return std::unexpected(e);
}

Result<std::string> pem_of(X509* cert) {
  const std::unique_ptr<BIO, Freer<BIO_free_all>> bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), cert) != 1) return fail(Code::kCorrupt, "a certificate can't be written");
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(n));
}

// The authority whose digest is pinned, from what the server shows.
Result<std::string> fetch_authority(const Address& address, const std::string& digest) {
  TRY(const Fd socket, connect_to(address));
  const std::unique_ptr<SSL_CTX, Freer<SSL_CTX_free>> context(SSL_CTX_new(TLS_client_method()));
  const std::unique_ptr<SSL, Freer<SSL_free>> ssl(SSL_new(context.get()));
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};  // gRPC servers want it
  (void)SSL_set_alpn_protos(ssl.get(), kHttp2, sizeof kHttp2);
  (void)SSL_set_tlsext_host_name(ssl.get(), "controller");
  if (SSL_set_fd(ssl.get(), socket.get()) != 1 || SSL_connect(ssl.get()) != 1) {
    return fail(Code::kPeer, "no TLS with the controller: " + pki::tls_error());
  }
  STACK_OF(X509)* chain = SSL_get_peer_cert_chain(ssl.get());
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain); i++) {
    TRY(std::string pem, pem_of(sk_X509_value(chain, i)));
    TRY(const auto facts, pki::inspect(pem));
    if (facts.authority && pki::same_secret(facts.digest, digest)) return pem;
  }
  return fail(Code::kRefused, "the controller at " + address.host + " isn't of the grid that gave this token");
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "";
  return name;
}

Result<void> save_options(const Options& o) {
  const json j = {{"version", 1},       {"name", o.name},        {"controller", o.controller},
                  {"listen", o.listen}, {"data", o.data_listen}, {"advertise", o.advertise},
                  {"root", o.root},     {"arch", o.arch},        {"notice_file", o.notice_file},
                  {"grid", o.grid}};
  return io::replace_file(o.state_dir + "/node.json", j.dump(2) + "\n");
}

}  // namespace

Result<Options> join(const JoinOptions& wanted) {
  const size_t dot = wanted.token.find('.');
  if (dot == std::string::npos || wanted.token.size() - dot - 1 != kDigestLength) {
    return fail(Code::kUsage, "not a token of: godwit token create");
  }
  TRY(Address address, split(wanted.controller));
  Options options;
  options.state_dir = wanted.state_dir;
  options.name = wanted.name.empty() ? host_name() : wanted.name;
  options.controller = wanted.controller;
  options.listen = wanted.listen;
  options.data_listen = wanted.data_listen;
  options.advertise = wanted.advertise;
  options.root = wanted.root;
  options.arch = wanted.arch;
  options.notice_file = wanted.notice_file;
  if (!pki::valid_name(options.name) || pki::reserved_name(options.name)) {
    return fail(Code::kUsage, "\"" + options.name + "\" can't be a node's name; give one with --name");
  }
  TRY_DO(sys::make_dirs(options.state_dir, 0700));

  address.port += kJoinPortOffset;
  TRY(const std::string authority, fetch_authority(address, wanted.token.substr(dot + 1)));
  TRY(const pki::Request request, pki::make_request(options.name));
  const auto credentials = grpc::SslCredentials({authority, "", ""});
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride("controller");
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto channel =
      grpc::CreateCustomChannel(address.host + ":" + std::to_string(address.port), credentials, arguments);
  const auto stub = wire::Join::NewStub(channel);
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(kConnectLimit.tv_sec));
  wire::JoinRequest ask;
  ask.set_token(wanted.token.substr(0, dot));
  ask.set_node(options.name);
  ask.set_csr(request.csr);
  wire::JoinReply reply;
  TRY_DO(rpc::check(stub->Join(&call, ask, &reply)));
  TRY_DO(pki::verify(reply.certificate(), authority, options.name));
  TRY_DO(pki::save({reply.certificate(), request.key}, authority, options.state_dir, "node"));
  TRY_DO(save_options(options));
  return options;
}

Result<Options> load_options(const std::string& state_dir) {
  const std::string path = state_dir + "/node.json";
  if (!sys::lstat(path)) {
    return fail(Code::kNotFound, "this machine is no node yet (no " + path + "); join a grid with: godwit node join");
  }
  TRY(const std::string text, io::read_file(path, 1u << 16));
  try {
    const json j = json::parse(text);
    Options o;
    o.state_dir = state_dir;
    o.name = j.at("name").get<std::string>();
    o.controller = j.at("controller").get<std::string>();
    o.listen = j.at("listen").get<std::string>();
    o.data_listen = j.at("data").get<std::string>();
    o.advertise = j.at("advertise").get<std::string>();
    o.root = j.at("root").get<std::string>();
    o.arch = j.value("arch", "");  // since 0.2
    o.notice_file = j.value("notice_file", "");
    o.grid = j.value("grid", "");
    return o;
  } catch (const json::exception& e) {
    return fail(Code::kCorrupt, path + ": " + e.what());
  }
}

}  // namespace godwit::node
