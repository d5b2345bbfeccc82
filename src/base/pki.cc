#include "base/pki.h"  // first, so that the header proves self-contained

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>

#include "base/check.h"
#include "base/io.h"
#include "base/sys.h"

namespace godwit::pki {
namespace {

constexpr size_t kPemLimit = 64u << 10;  // a certificate has about 1 KiB; more is somebody's mistake or attack
constexpr long kClockSkew = 24 * 3600;   // a joining machine's clock may be behind

template <auto Free>
struct Freer {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Cert = std::unique_ptr<X509, Freer<X509_free>>;
using Csr = std::unique_ptr<X509_REQ, Freer<X509_REQ_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;
using Store = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;

std::unexpected<Error> openssl_failed(const std::string& what) {
  return fail(Code::kFailed, what + ": " + tls_error());
}

Bio bio_of(const std::string& pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }
std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long n = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(n)};
}

Result<Cert> parse_certificate(const std::string& pem) {
  if (pem.size() > kPemLimit) return fail(Code::kCorrupt, "certificate of " + std::to_string(pem.size()) + " bytes");
  Cert cert(PEM_read_bio_X509(bio_of(pem).get(), nullptr, nullptr, nullptr));
  if (!cert) return fail(Code::kCorrupt, "not a certificate: " + tls_error());
  return cert;
}
Result<Key> parse_key(const std::string& pem) {
  if (pem.size() > kPemLimit) return fail(Code::kCorrupt, "key of " + std::to_string(pem.size()) + " bytes");
  Key key(PEM_read_bio_PrivateKey(bio_of(pem).get(), nullptr, nullptr, nullptr));
  if (!key) return fail(Code::kCorrupt, "not a private key: " + tls_error());
  return key;
}

Result<Key> new_key() {
  Key key(EVP_EC_gen("P-256"));
  if (!key) return openssl_failed("making a key");
  return key;
}
Result<std::string> pem_of(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return openssl_failed("writing a key");
  }
  return text_of(bio.get());
}
Result<std::string> pem_of(X509* cert) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), cert) != 1) return openssl_failed("writing a certificate");
  return text_of(bio.get());
}

bool set_name(X509_NAME* to, const std::string& name) {
  return X509_NAME_add_entry_by_txt(to, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1,
                                    -1, 0) == 1;
}

Result<void> add_extension(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  const Extension e(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!e || X509_add_ext(cert, e.get(), -1) != 1) return openssl_failed("certificate extension " + value);
  return {};
}

bool is_address(const std::string& host) {
  in6_addr any;
  return ::inet_pton(AF_INET, host.c_str(), &any) == 1 || ::inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

// The value goes through OpenSSL's small configuration language: nothing but plain names may reach it.
Result<std::string> alternative_names(const std::string& name, const std::vector<std::string>& hosts) {
  std::string out = "DNS:" + name;
  for (const auto& host : hosts) {
    if (is_address(host)) {
      out += ",IP:" + host;
    } else if (valid_name(host)) {
      out += ",DNS:" + host;
    } else {
      return fail(Code::kUsage, "neither a name nor an address: " + host);
    }
  }
  return out;
}

Result<Cert> blank(const std::string& name, EVP_PKEY* key, int days) {
  Cert cert(X509_new());
  const std::time_t now = std::time(nullptr);
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof serial) != 1) return openssl_failed("random serial number");
  serial[0] &= 0x7f;  // RFC 5280: positive
  const std::unique_ptr<BIGNUM, Freer<BN_free>> number(BN_bin2bn(serial, sizeof serial, nullptr));
  const bool ok = cert && X509_set_version(cert.get(), X509_VERSION_3) == 1 &&
                  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(cert.get())) != nullptr &&
                  ASN1_TIME_set(X509_getm_notBefore(cert.get()), now - kClockSkew) != nullptr &&
                  ASN1_TIME_adj(X509_getm_notAfter(cert.get()), now, days, 0) != nullptr &&
                  set_name(X509_get_subject_name(cert.get()), name) && X509_set_pubkey(cert.get(), key) == 1;
  if (!ok) return openssl_failed("making a certificate");
  return cert;
}

Result<std::string> certify(const Identity& authority, EVP_PKEY* key, const std::string& name,
                            const std::vector<std::string>& hosts, int days) {
  if (!valid_name(name)) return fail(Code::kUsage, "not a name for a certificate: " + name);
  TRY(const std::string names, alternative_names(name, hosts));
  TRY(const Cert issuer, parse_certificate(authority.certificate));
  TRY(const Key issuer_key, parse_key(authority.key));
  TRY(const Cert cert, blank(name, key, days));
  X509* const c = cert.get();
  X509* const i = issuer.get();
  if (X509_set_issuer_name(c, X509_get_subject_name(i)) != 1) return openssl_failed("naming the issuer");
  TRY_DO(add_extension(c, i, NID_basic_constraints, "critical,CA:FALSE"));
  TRY_DO(add_extension(c, i, NID_key_usage, "critical,digitalSignature"));
  TRY_DO(add_extension(c, i, NID_ext_key_usage, "serverAuth,clientAuth"));
  TRY_DO(add_extension(c, i, NID_subject_alt_name, names));
  TRY_DO(add_extension(c, i, NID_subject_key_identifier, "hash"));
  TRY_DO(add_extension(c, i, NID_authority_key_identifier, "keyid"));
  if (X509_sign(c, issuer_key.get(), EVP_sha256()) == 0) return openssl_failed("signing a certificate");
  return pem_of(c);
}

std::string hex(std::span<const unsigned char> bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const unsigned char b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

std::string common_name(const X509* cert) {
  const X509_NAME* subject = X509_get_subject_name(cert);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return {};
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)), static_cast<size_t>(ASN1_STRING_length(value))};
}

// replace_file() makes the temporary file with the wanted mode, so the key is never readable for others.
Result<void> write_key(const std::string& path, const std::string& key) { return io::replace_file(path, key, 0600); }

}  // namespace

bool valid_name(std::string_view name) {
  const auto alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 63 && alnum(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return alnum(c) || c == '-' || c == '.'; });
}

bool reserved_name(std::string_view name) { return name == "client" || name == "controller" || name == "ca"; }

Result<Identity> make_authority(const std::string& name, int days) {
  if (!valid_name(name)) return fail(Code::kUsage, "not a name for an authority: " + name);
  TRY(const Key key, new_key());
  TRY(const Cert cert, blank(name, key.get(), days));
  X509* const c = cert.get();
  if (X509_set_issuer_name(c, X509_get_subject_name(c)) != 1) return openssl_failed("naming the issuer");
  TRY_DO(add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  TRY_DO(add_extension(c, c, NID_key_usage, "critical,keyCertSign,cRLSign"));
  TRY_DO(add_extension(c, c, NID_subject_key_identifier, "hash"));
  if (X509_sign(c, key.get(), EVP_sha256()) == 0) return openssl_failed("signing the authority");
  Identity out;
  TRY(out.certificate, pem_of(c));
  TRY(out.key, pem_of(key.get()));
  return out;
}

Result<Identity> issue(const Identity& authority, const std::string& name, const std::vector<std::string>& hosts,
                       int days) {
  TRY(const Key key, new_key());
  Identity out;
  TRY(out.certificate, certify(authority, key.get(), name, hosts, days));
  TRY(out.key, pem_of(key.get()));
  return out;
}

Result<Request> make_request(const std::string& name) {
  if (!valid_name(name)) return fail(Code::kUsage, "not a name for a node: " + name);
  TRY(const Key key, new_key());
  const Csr csr(X509_REQ_new());
  if (!csr || !set_name(X509_REQ_get_subject_name(csr.get()), name) || X509_REQ_set_pubkey(csr.get(), key.get()) != 1 ||
      X509_REQ_sign(csr.get(), key.get(), EVP_sha256()) == 0) {
    return openssl_failed("making a signing request");
  }
  const Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509_REQ(bio.get(), csr.get()) != 1) return openssl_failed("writing a signing request");
  Request out{text_of(bio.get()), {}};
  TRY(out.key, pem_of(key.get()));
  return out;
}

Result<std::string> sign_request(const Identity& authority, const std::string& csr, const std::string& name,
                                 const std::vector<std::string>& hosts, int days) {
  if (csr.size() > kPemLimit) return fail(Code::kCorrupt, "request of " + std::to_string(csr.size()) + " bytes");
  const Csr request(PEM_read_bio_X509_REQ(bio_of(csr).get(), nullptr, nullptr, nullptr));
  if (!request) return fail(Code::kCorrupt, "not a signing request: " + tls_error());
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    (void)tls_error();
    return fail(Code::kCorrupt, "the signing request isn't signed by its own key");
  }
  return certify(authority, key, name, hosts, days);
}

Result<Facts> inspect(const std::string& certificate) {
  TRY(const Cert cert, parse_certificate(certificate));
  Facts facts;
  facts.name = common_name(cert.get());
  facts.authority = X509_check_ca(cert.get()) == 1;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  unsigned int length = 0;
  if (X509_digest(cert.get(), EVP_sha256(), digest, &length) != 1) return openssl_failed("digest of a certificate");
  facts.digest = hex({digest, length});
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(cert.get()), &end) != 1) return fail(Code::kCorrupt, "no end of validity");
  facts.not_after = ::timegm(&end);
  return facts;
}

Result<void> verify(const std::string& certificate, const std::string& authority, const std::string& name) {
  TRY(const Cert cert, parse_certificate(certificate));
  TRY(const Cert ca, parse_certificate(authority));
  const Store store(X509_STORE_new());
  const StoreContext context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), ca.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), cert.get(), nullptr) != 1) {
    return openssl_failed("preparing to verify a certificate");
  }
  if (X509_verify_cert(context.get()) != 1) {
    return fail(Code::kPeer, std::string("certificate of ") + common_name(cert.get()) + ": " +
                                 X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  }
  if (common_name(cert.get()) != name) {
    return fail(Code::kPeer, "certificate names " + common_name(cert.get()) + ", wanted " + name);
  }
  return {};
}

Result<void> save(const Identity& identity, const std::string& authority, const std::string& dir,
                  const std::string& name) {
  TRY_DO(write_key(dir + "/" + name + ".key", identity.key));
  TRY_DO(io::replace_file(dir + "/" + name + ".crt", identity.certificate, 0644));
  if (!authority.empty()) TRY_DO(io::replace_file(dir + "/ca.crt", authority, 0644));
  return {};
}

Result<Identity> load(const std::string& dir, const std::string& name) {
  const std::string path = dir + "/" + name + ".key";
  TRY(const Fd file, sys::open(path, O_RDONLY));
  TRY(const struct stat st, sys::stat(file));
  if ((st.st_mode & 077) != 0) return fail(Code::kRefused, path + " is readable for others; make it mode 0600");
  Identity out;
  TRY(out.key, io::read_all(file.get(), kPemLimit));
  TRY(out.certificate, io::read_file(dir + "/" + name + ".crt", kPemLimit));
  return out;
}

std::string random_hex(size_t bytes) {
  std::vector<unsigned char> raw(bytes);
  GODWIT_CHECK(RAND_bytes(raw.data(), static_cast<int>(raw.size())) == 1, "no randomness");
  return hex(raw);
}

std::string sha256_hex(std::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return hex(digest);
}

bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace godwit::pki
