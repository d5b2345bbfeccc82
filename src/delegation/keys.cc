#include "delegation/keys.h"

#include <openssl/evp.h>
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

constexpr pki::KeyKind kSigning{EVP_PKEY_ED25519, "Ed25519"};

struct Free {
  void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
  void operator()(EVP_PKEY* k) const { EVP_PKEY_free(k); }
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

Result<PrivateKey> PrivateKey::adopt(pki::OwnKey key) {
  PublicKey of;
  TRY_DO(pki::read_public_key(key.get(), kSigning, of.bytes));
  return PrivateKey(std::move(key), of);
}

Result<PrivateKey> PrivateKey::generate() { return adopt(pki::OwnKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))); }

PrivateKey PrivateKey::from_seed(const std::array<unsigned char, 32>& seed) {
  auto made = adopt(pki::OwnKey(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size())));
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
  TRY(auto key, pki::load_private_key(path, kSigning));
  return adopt(std::move(key));
}

Result<void> PrivateKey::save(const std::string& path) const {
  return pki::save_private_key(path, key_.get(), public_.base64());
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
