// X25519 keys in files.
#include <openssl/evp.h>

#include <cerrno>

#include "base/base.h"
#include "base/pki.h"
#include "sealing/sealing.h"

namespace godwit::sealing {
namespace {

constexpr std::string_view kKind = "x25519:";
constexpr std::string_view kDigits = "0123456789abcdef";
constexpr size_t kTextLimit = 256;
constexpr pki::KeyKind kSealing{EVP_PKEY_X25519, "X25519"};

}  // namespace

std::string SealPublicKey::text() const {
  std::string out(kKind);
  for (const unsigned char b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

std::string SealPublicKey::id() const {
  return pki::sha256_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Result<SealPublicKey> public_key_of(std::string_view text) {
  const auto bad = [] { return fail(Code::kCorrupt, "not a key of: godwit key new --sealing"); };
  SealPublicKey out;
  if (!text.starts_with(kKind) || text.size() != kKind.size() + 2 * out.bytes.size()) return bad();
  text.remove_prefix(kKind.size());
  for (size_t i = 0; i < out.bytes.size(); ++i) {
    const size_t high = kDigits.find(text[2 * i]), low = kDigits.find(text[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return bad();
    out.bytes[i] = static_cast<unsigned char>(high << 4 | low);
  }
  return out;
}

Result<SealPublicKey> find_public_key(const std::string& text_or_path) {
  if (text_or_path.starts_with(kKind)) return public_key_of(text_or_path);
  auto read = io::read_file(text_or_path, kTextLimit);
  if (!read && read.error().errnum == ENOENT)
    return fail(Code::kUsage,
                "\"" + text_or_path + "\" is neither a public key (" + std::string(kKind) + "…) nor a file with one");
  TRY(std::string text, std::move(read));
  if (text.ends_with('\n')) text.pop_back();
  auto key = public_key_of(text);
  if (!key) return std::unexpected(key.error().in(text_or_path));
  return key;
}

Result<SealKey> SealKey::adopt(pki::OwnKey key) {
  SealPublicKey of;
  TRY_DO(pki::read_public_key(key.get(), kSealing, of.bytes));
  return SealKey(std::move(key), of);
}

Result<SealKey> SealKey::generate() { return adopt(pki::OwnKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519"))); }

SealKey SealKey::from_seed(const std::array<unsigned char, 32>& seed) {
  auto made = adopt(pki::OwnKey(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, seed.data(), seed.size())));
  GODWIT_CHECK(made.has_value());
  return *std::move(made);
}

Result<SealKey> SealKey::load(const std::string& path) {
  TRY(auto key, pki::load_private_key(path, kSealing));
  return adopt(std::move(key));
}

Result<void> SealKey::save(const std::string& path) const {
  return pki::save_private_key(path, key_.get(), public_.text());
}

}  // namespace godwit::sealing
