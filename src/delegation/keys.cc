#include "delegation/keys.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/io.h"
#include "base/new_file.h"
#include "base/pki.h"
#include "base/sys.h"
#include "delegation/text.h"

namespace godwit::delegation {
namespace {

constexpr size_t kPemLimit = 4096;  // an Ed25519 key has 119 bytes

struct Free {
  void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
  void operator()(EVP_PKEY* k) const { EVP_PKEY_free(k); }
  void operator()(BIO* b) const { BIO_free_all(b); }
};
template <typename T>
using Own = std::unique_ptr<T, Free>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

}  // namespace

std::string Digest::hex() const { return to_hex(bytes); }

Digest sha256(std::string_view text) {
  Digest out;
  GODWIT_CHECK(EVP_Digest(text.data(), text.size(), out.bytes.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return out;
}

Result<Digest> digest_of_hex(std::string_view text) {
  Digest out;
  if (!from_hex(text, out.bytes)) return fail(Code::kCorrupt, "not 64 lower-case hex digits");
  return out;
}

Digest digest_of_arguments(std::span<const std::string> arguments) {
  std::string all;
  for (const auto& a : arguments) {
    for (int shift = 0; shift < 64; shift += 8) all += static_cast<char>(uint64_t{a.size()} >> shift & 0xff);
    all += a;
  }
  return sha256(all);
}

Result<Digest> digest_of_file(const std::string& path) {
  TRY(const Fd file, sys::open(path, O_RDONLY));
  const Own<EVP_MD_CTX> context(EVP_MD_CTX_new());
  GODWIT_CHECK(context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1);
  std::vector<std::byte> buffer(1u << 20);
  for (;;) {
    TRY(const size_t n, io::read_some(file.get(), buffer));
    if (n == 0) break;
    GODWIT_CHECK(EVP_DigestUpdate(context.get(), buffer.data(), n) == 1);
  }
  Digest out;
  GODWIT_CHECK(EVP_DigestFinal_ex(context.get(), out.bytes.data(), nullptr) == 1);
  return out;
}

std::string PublicKey::id() const { return sha256(view(bytes)).hex(); }
std::string PublicKey::base64() const { return to_base64(view(bytes)); }

Result<PublicKey> public_key_of(std::string_view base64) {
  const auto raw = from_base64(base64);
  PublicKey out;
  if (!raw || raw->size() != out.bytes.size()) return fail(Code::kCorrupt, "not 32 bytes in base64");
  std::copy_n(bytes_of(*raw), out.bytes.size(), out.bytes.begin());
  return out;
}

Result<PublicKey> load_public_key(const std::string& path) {
  TRY(std::string text, io::read_file(path, 256));
  if (text.ends_with('\n')) text.pop_back();
  auto key = public_key_of(text);
  if (!key) return std::unexpected(key.error().in(path));
  return key;
}

bool verify(const PublicKey& key, std::string_view bytes, const Signature& signature) {
  const Own<EVP_PKEY> pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.bytes.data(), key.bytes.size()));
  const Own<EVP_MD_CTX> context(EVP_MD_CTX_new());
  const bool good =
      pkey && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
      EVP_DigestVerify(context.get(), signature.data(), signature.size(), bytes_of(bytes), bytes.size()) == 1;
  if (!good) (void)pki::tls_error();  // a bad signature is an answer: it may not stay in this thread's queue of errors
  return good;
}

void PrivateKey::Free::operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }

Result<PrivateKey> PrivateKey::adopt(EVP_PKEY* key) {
  Own<EVP_PKEY> owned(key);
  if (!owned) return fail(Code::kFailed, "making an Ed25519 key: " + pki::tls_error());
  PublicKey of;
  size_t size = of.bytes.size();
  if (EVP_PKEY_get_raw_public_key(key, of.bytes.data(), &size) != 1 || size != of.bytes.size()) {
    return fail(Code::kFailed, "reading an Ed25519 key: " + pki::tls_error());
  }
  return PrivateKey(owned.release(), of);
}

Result<PrivateKey> PrivateKey::generate() { return adopt(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")); }

PrivateKey PrivateKey::from_seed(const std::array<unsigned char, 32>& seed) {
  auto made = adopt(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  GODWIT_CHECK(made.has_value());
  return *std::move(made);
}

Result<PrivateKey> PrivateKey::load_or_make(const std::string& path) {
  auto key = load(path);
  if (key || key.error().errnum != ENOENT) return key;
  TRY(auto made, generate());
  TRY_DO(made.save(path));
  return made;
}

Result<PrivateKey> PrivateKey::load(const std::string& path) {
  // The descriptor is looked at, not the name: it can't become another file in between.
  TRY(const Fd file, sys::open(path, O_RDONLY | O_NONBLOCK));
  TRY(const auto status, sys::stat(file));
  if (!S_ISREG(status.st_mode)) return fail(Code::kRefused, path + " is not a file");
  if ((status.st_mode & 077) != 0) {
    return fail(Code::kRefused, path + " holds a private key, and others may read or write it; chmod 600 it");
  }
  if (status.st_uid != ::geteuid() && status.st_uid != 0) {
    return fail(Code::kRefused, path + " holds a private key, and is another user's");
  }
  TRY(const std::string pem, io::read_all(file.get(), kPemLimit));
  const Own<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // The empty password keeps OpenSSL from asking on the terminal for that of an encrypted key.
  Own<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, const_cast<char*>("")));
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) {
    (void)pki::tls_error();
    return fail(Code::kCorrupt, path + " is not an Ed25519 private key in PEM");
  }
  return adopt(key.release());
}

Result<void> PrivateKey::save(const std::string& path) const {
  const Own<BIO> bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return fail(Code::kFailed, "writing a key: " + pki::tls_error());
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  // O_EXCL and no rename: two commands that make a key at once can't take it from each other.
  auto file = sys::open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!file && file.error().errnum == EEXIST) return fail(Code::kRefused, path + " is there already");
  if (!file) return std::unexpected(file.error());
  TRY_DO(io::write_full(file->get(), std::string_view(data, static_cast<size_t>(size))));
  return io::replace_file(path + ".pub", public_.base64() + "\n", 0644);
}

Signature PrivateKey::sign(std::string_view bytes) const {
  const Own<EVP_MD_CTX> context(EVP_MD_CTX_new());
  Signature out{};
  size_t size = out.size();
  GODWIT_CHECK(context && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1 &&
               EVP_DigestSign(context.get(), out.data(), &size, bytes_of(bytes), bytes.size()) == 1 &&
               size == out.size());
  return out;
}

}  // namespace godwit::delegation
