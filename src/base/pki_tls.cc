// The TLS half of pki.h.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/pki.h"

namespace godwit::pki {
namespace {

struct BioFree {
  void operator()(BIO* b) const { BIO_free_all(b); }
};
struct CertFree {
  void operator()(X509* c) const { X509_free(c); }
};
struct KeyFree {
  void operator()(EVP_PKEY* k) const { EVP_PKEY_free(k); }
};
std::unique_ptr<BIO, BioFree> bio_of(const std::string& pem) {
  return std::unique_ptr<BIO, BioFree>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

}  // namespace

void TlsDeleter::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }

Result<TlsContext> tls_context(Side side, const Identity& identity, const std::string& authority) {
  TlsContext context(SSL_CTX_new(side == Side::kServer ? TLS_server_method() : TLS_client_method()));
  if (!context) return fail(Code::kFailed, "TLS context: " + tls_error());
  SSL_CTX* const c = context.get();
  const std::unique_ptr<X509, CertFree> cert(
      PEM_read_bio_X509(bio_of(identity.certificate).get(), nullptr, nullptr, nullptr));
  const std::unique_ptr<EVP_PKEY, KeyFree> key(
      PEM_read_bio_PrivateKey(bio_of(identity.key).get(), nullptr, nullptr, nullptr));
  const std::unique_ptr<X509, CertFree> ca(PEM_read_bio_X509(bio_of(authority).get(), nullptr, nullptr, nullptr));
  if (!cert || !key || !ca) return fail(Code::kCorrupt, "certificate, key or authority: " + tls_error());
  const bool ok =
      SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) == 1 &&
      SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1 &&
      SSL_CTX_use_certificate(c, cert.get()) == 1 && SSL_CTX_use_PrivateKey(c, key.get()) == 1 &&
      SSL_CTX_check_private_key(c) == 1 && X509_STORE_add_cert(SSL_CTX_get_cert_store(c), ca.get()) == 1;
  if (!ok) return fail(Code::kFailed, "TLS context: " + tls_error());
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  // A ticket would be one more write at the end of the handshake, and nobody resumes a session here.
  SSL_CTX_set_num_tickets(c, 0);
  SSL_CTX_set_mode(c, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
  return context;
}

Result<std::string> peer_name(const SSL* connection) {
  const std::unique_ptr<X509, CertFree> cert(SSL_get1_peer_certificate(connection));
  if (!cert || SSL_get_verify_result(connection) != X509_V_OK) return fail(Code::kPeer, "the peer has no certificate");
  char name[256];
  const int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert.get()), NID_commonName, name, sizeof name);
  if (n <= 0) return fail(Code::kPeer, "the peer's certificate has no name");
  return std::string(name, static_cast<size_t>(n));
}

std::string tls_error() {
  std::string out;
  while (const unsigned long e = ERR_get_error()) {
    char text[256];
    ERR_error_string_n(e, text, sizeof text);
    if (!out.empty()) out += "; ";
    out += text;
  }
  return out.empty() ? "no further word" : out;
}

}  // namespace godwit::pki
