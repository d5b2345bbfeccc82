// Who is who: X.509 certificates of one authority a grid (site), and TLS 1.3 between those that it named.
//
//     TRY(const pki::Identity ca, pki::make_authority("grid"));
//     TRY(const pki::Identity node, pki::issue(ca, "node-1", {"10.77.0.1"}));
//     TRY_DO(pki::save(node, ca.certificate, dir, "node"));      // dir/ca.crt, dir/node.crt, dir/node.key (0600)
//
// A second machine joins without its private key ever leaving it:
//
//     joining machine:  TRY(pki::Request request, pki::make_request("node-9"));  → request.csr and a one-time token
//     controller:       TRY(std::string crt, pki::sign_request(ca, request.csr, "node-9", {}));
//
// Keys are P-256: every TLS library speaks it. The name is in both CN and SAN; a peer is whom its certificate names,
// wherever it connects from. Private keys are never logged and never readable for others.
//
// Threads: all functions may be called from any thread; one SSL_CTX may serve several.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace godwit::pki {

/// A certificate and its private key, PEM.
struct Identity {
  std::string certificate;
  std::string key;
};
/// A certificate signing request and the private key that stays here, PEM.
struct Request {
  std::string csr;
  std::string key;
};

inline constexpr int kAuthorityDays = 3650;
inline constexpr int kLeafDays = 825;

/// Lower-case letters, digits, '-' and '.', 1 to 63 of them, beginning with a letter or digit.
bool valid_name(std::string_view name);
/// Names that a node may not take: they say what a caller may do.
bool reserved_name(std::string_view name);  // "client", "controller", "ca"

/// A new self-signed authority.
Result<Identity> make_authority(const std::string& name, int days = kAuthorityDays);
/// A new key and a certificate for `name`, good as TLS server and client. `hosts` are further names or IP addresses.
Result<Identity> issue(const Identity& authority, const std::string& name, const std::vector<std::string>& hosts = {},
                       int days = kLeafDays);

Result<Request> make_request(const std::string& name);
/// Signs a request after checking that it proves possession of its key. The certificate gets `name` and `hosts` as
/// given here: what the request says of itself is not believed. A malformed one is Code::kCorrupt.
Result<std::string> sign_request(const Identity& authority, const std::string& csr, const std::string& name,
                                 const std::vector<std::string>& hosts = {}, int days = kLeafDays);

/// What a certificate says; Code::kCorrupt when it isn't one.
struct Facts {
  std::string name;    ///< CN
  std::string digest;  ///< SHA-256 of the DER form, 64 hex digits
  bool authority = false;
  int64_t not_after = 0;  ///< seconds since 1970
};
Result<Facts> inspect(const std::string& certificate);
/// Ok when `certificate` was signed by `authority`, is valid now, and names `name`.
Result<void> verify(const std::string& certificate, const std::string& authority, const std::string& name);

/// Writes DIR/ca.crt, DIR/NAME.crt and DIR/NAME.key (mode 0600 from its first byte on).
Result<void> save(const Identity& identity, const std::string& authority, const std::string& dir,
                  const std::string& name);
/// Reads DIR/NAME.crt and DIR/NAME.key. A key that others may read is refused.
Result<Identity> load(const std::string& dir, const std::string& name);

/// 128 random bits as 32 hex digits: one-time tokens, ids. Aborts when the kernel has no randomness to give.
std::string random_hex(size_t bytes = 16);
/// SHA-256 as hex: tokens are kept and compared by it.
std::string sha256_hex(std::string_view text);
/// Compares in a time that depends on the lengths only.
bool same_secret(std::string_view a, std::string_view b);

struct TlsDeleter {
  void operator()(SSL_CTX* context) const;
};
using TlsContext = std::unique_ptr<SSL_CTX, TlsDeleter>;

enum class Side { kClient, kServer };
/// TLS 1.3 only, both sides present a certificate of this authority. AES-128-GCM first: the fastest on a CPU with AES.
Result<TlsContext> tls_context(Side side, const Identity& identity, const std::string& authority);
/// The name in the peer's verified certificate; Code::kPeer without one. Compare it with whom you expect.
Result<std::string> peer_name(const SSL* connection);
/// OpenSSL's words for the last error of this thread, and clears it.
std::string tls_error();

}  // namespace godwit::pki
