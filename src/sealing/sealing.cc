// Why it is built so.
//
// The problem: an image may be larger than memory, is written and read once from front to back, and lies or travels where others can
// read and change it. HPKE (RFC 9180) would be the standard for it; OpenSSL has it since 3.2, Debian 12 has 3.0. What is here are
// its parts by hand: an ephemeral X25519 key agrees with the recipient's on a secret (RFC 7748), HKDF-SHA256 (RFC 5869) makes it the
// key of ChaCha20-Poly1305 (RFC 8439), and the stream is cut into chunks as STREAM does (Hoang, Reyhanitabar, Rogaway, Vizár:
// "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015; age's files are made like that).
//
//   * Each stream has a key of its own, so a nonce is a counter and never comes twice under one key.
//   * The nonce holds the chunk's number: chunks that were exchanged, left out or repeated don't verify.
//   * It also says whether the chunk is the last. A cut leaves a last chunk that was sealed as one in the middle; what is put behind
//     the end turns the last into one in the middle. Neither verifies.
//   * The header goes into the key by HKDF's `info`: any change of it makes another key, and the first chunk doesn't verify.
//   * An ephemeral key that makes the secret zero (RFC 7748, section 6.1) is refused by OpenSSL's X25519.
//
// A chunk costs 16 bytes for 64 KiB, and no more than a chunk is held in memory.
#include "sealing/sealing.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>

#include "base/check.h"
#include "base/pki.h"

namespace godwit::sealing {
namespace {

constexpr std::string_view kMagic = "GODWITSE";
constexpr uint32_t kVersion = 1;
constexpr std::string_view kPurpose = "godwit sealed stream v1";

struct Free {
  void operator()(EVP_PKEY_CTX* c) const { EVP_PKEY_CTX_free(c); }
  void operator()(EVP_CIPHER_CTX* c) const { EVP_CIPHER_CTX_free(c); }
  void operator()(EVP_KDF* k) const { EVP_KDF_free(k); }
  void operator()(EVP_KDF_CTX* c) const { EVP_KDF_CTX_free(c); }
};
template <typename T>
using Own = std::unique_ptr<T, Free>;
using Secret = std::array<unsigned char, 32>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }
std::string_view view(const std::array<unsigned char, 32>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void put_le32(std::string& to, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) to += static_cast<char>(value >> shift & 0xff);
}

/// Magic, version, size of chunks; digest of the recipient's key; the ephemeral one.
std::string header_of(const SealPublicKey& recipient, const SealPublicKey& ephemeral) {
  std::string out(kMagic);
  put_le32(out, kVersion);
  put_le32(out, static_cast<uint32_t>(kChunk));
  unsigned char digest[32];
  GODWIT_CHECK(EVP_Digest(recipient.bytes.data(), recipient.bytes.size(), digest, nullptr, EVP_sha256(), nullptr) == 1);
  out.append(reinterpret_cast<const char*>(digest), sizeof digest);
  out += view(ephemeral.bytes);
  return out;
}

/// The key of a stream: of `mine` and `theirs`, for this header and this pair of public keys.
Result<Secret> key_of(EVP_PKEY* mine, const SealPublicKey& theirs, const std::string& header,
                      const SealPublicKey& recipient) {
  const pki::OwnKey peer(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, theirs.bytes.data(), theirs.bytes.size()));
  const Own<EVP_PKEY_CTX> agree(EVP_PKEY_CTX_new(mine, nullptr));
  Secret shared{};
  size_t size = shared.size();
  if (!peer || !agree || EVP_PKEY_derive_init(agree.get()) != 1 ||
      EVP_PKEY_derive_set_peer(agree.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(agree.get(), shared.data(), &size) != 1 || size != shared.size()) {
    (void)pki::tls_error();
    return fail(Code::kCorrupt, "a key that agrees with none");
  }
  std::string salt = header.substr(kHeader - 32);
  salt += view(recipient.bytes);
  std::string info(kPurpose);
  info += header;
  const Own<EVP_KDF> hkdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  const Own<EVP_KDF_CTX> context(EVP_KDF_CTX_new(hkdf.get()));
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                                   OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, shared.data(), shared.size()),
                                   OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()),
                                   OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
                                   OSSL_PARAM_construct_end()};
  Secret out{};
  GODWIT_CHECK(context && EVP_KDF_derive(context.get(), out.data(), out.size(), parameters) == 1);
  OPENSSL_cleanse(shared.data(), shared.size());
  return out;
}

/// The chunk's number in 11 bytes, the highest first, and whether it is the last.
std::array<unsigned char, 12> nonce_of(uint64_t count, bool last) {
  std::array<unsigned char, 12> out{};
  for (size_t i = 0; i < 8; ++i) out[10 - i] = static_cast<unsigned char>(count >> (8 * i) & 0xff);
  out[11] = last ? 1 : 0;
  return out;
}

}  // namespace

bool is_sealed(std::string_view bytes) { return bytes.starts_with(kMagic); }

Chunks::~Chunks() { OPENSSL_cleanse(key_.data(), key_.size()); }

std::string Chunks::seal(std::string_view plain, bool last) {
  const auto nonce = nonce_of(count_++, last);
  const Own<EVP_CIPHER_CTX> c(EVP_CIPHER_CTX_new());
  std::string out(plain.size() + kTag, '\0');
  int size = 0, rest = 0;
  GODWIT_CHECK(c && EVP_EncryptInit_ex(c.get(), EVP_chacha20_poly1305(), nullptr, key_.data(), nonce.data()) == 1 &&
               EVP_EncryptUpdate(c.get(), bytes_of(out), &size, bytes_of(plain), static_cast<int>(plain.size())) == 1 &&
               EVP_EncryptFinal_ex(c.get(), bytes_of(out) + size, &rest) == 1 &&
               static_cast<size_t>(size + rest) == plain.size() &&
               EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_AEAD_GET_TAG, kTag, out.data() + plain.size()) == 1);
  return out;
}

std::optional<std::string> Chunks::open(std::string_view sealed, bool last) {
  if (sealed.size() < kTag || sealed.size() > kChunk + kTag) return std::nullopt;
  const auto nonce = nonce_of(count_, last);
  const std::string_view body = sealed.substr(0, sealed.size() - kTag);
  std::string tag(sealed.substr(body.size()));
  const Own<EVP_CIPHER_CTX> c(EVP_CIPHER_CTX_new());
  std::string out(body.size() + kTag, '\0');
  int size = 0, rest = 0;
  GODWIT_CHECK(c && EVP_DecryptInit_ex(c.get(), EVP_chacha20_poly1305(), nullptr, key_.data(), nonce.data()) == 1 &&
               EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_AEAD_SET_TAG, kTag, tag.data()) == 1);
  if (EVP_DecryptUpdate(c.get(), bytes_of(out), &size, bytes_of(body), static_cast<int>(body.size())) != 1 ||
      EVP_DecryptFinal_ex(c.get(), bytes_of(out) + size, &rest) != 1) {
    OPENSSL_cleanse(out.data(), out.size());
    (void)pki::tls_error();
    return std::nullopt;
  }
  out.resize(static_cast<size_t>(size + rest));
  count_++;
  return out;
}

Result<Sealer> Sealer::to(const SealPublicKey& recipient) {
  TRY(const SealKey ephemeral, SealKey::generate());
  std::string header = header_of(recipient, ephemeral.public_key());
  TRY(Secret key, key_of(ephemeral.get(), recipient, header, recipient));
  Sealer out(std::move(header), Chunks(key));
  OPENSSL_cleanse(key.data(), key.size());
  return out;
}

// The last chunk isn't empty unless all is: so a full one is held back until it is known whether another follows.
std::string Sealer::add(std::string_view bytes) {
  std::string out;
  while (held_.size() + bytes.size() > kChunk) {
    const size_t more = kChunk - held_.size();
    held_ += bytes.substr(0, more);
    bytes.remove_prefix(more);
    out += chunks_.seal(held_, false);
    held_.clear();
  }
  held_ += bytes;
  return out;
}

std::string Sealer::finish() { return chunks_.seal(std::exchange(held_, {}), true); }

Result<void> Opener::read_header() {
  const std::string header = held_.substr(0, kHeader);
  SealPublicKey ephemeral;
  std::ranges::copy(bytes_of(std::string_view(header)) + kHeader - 32, bytes_of(std::string_view(header)) + kHeader,
                    ephemeral.bytes.begin());
  const std::string expected = header_of(key_.public_key(), ephemeral);
  if (!is_sealed(header)) return fail(Code::kCorrupt, "not a sealed file");
  if (header.substr(0, 16) != expected.substr(0, 16))
    return fail(Code::kCorrupt, "sealed by another version of Godwit");
  if (header != expected) return fail(Code::kRefused, "sealed to another key than " + key_.public_key().id());
  TRY(Secret key, key_of(key_.get(), ephemeral, header, key_.public_key()));
  chunks_.emplace(key);
  OPENSSL_cleanse(key.data(), key.size());
  held_.erase(0, kHeader);
  return {};
}

Result<std::string> Opener::add(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const size_t more = std::min(bytes.size(), kChunk + kTag + 1);
    held_ += bytes.substr(0, more);
    bytes.remove_prefix(more);
    if (!chunks_ && held_.size() >= kHeader) TRY_DO(read_header());
    // One byte more than a chunk: it isn't the last.
    while (chunks_ && held_.size() > kChunk + kTag) {
      const auto plain = chunks_->open(std::string_view(held_).substr(0, kChunk + kTag), false);
      if (!plain)
        return fail(Code::kCorrupt, "chunk " + std::to_string(chunks_->count()) + " is altered, or out of its place");
      out += *plain;
      held_.erase(0, kChunk + kTag);
    }
  }
  return out;
}

Result<std::string> Opener::finish() {
  if (!chunks_) return fail(Code::kCorrupt, "not a sealed file, or its beginning only");
  if (auto plain = chunks_->open(held_, true)) return *std::move(plain);
  if (held_.empty() || chunks_->open(held_, false)) return fail(Code::kCorrupt, "the file was cut short");
  return fail(Code::kCorrupt, "the last chunk is altered, out of its place, or cut short");
}

}  // namespace godwit::sealing
