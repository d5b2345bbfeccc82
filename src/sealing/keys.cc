// X25519 keys in files.
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <unistd.h>

#include <cerrno>

#include "base/base.h"
#include "base/pki.h"
#include "sealing/sealing.h"

namespace godwit::sealing {
namespace {

constexpr std::string_view kKind = "x25519:";
constexpr std::string_view kDigits = "0123456789abcdef";
constexpr size_t kPemLimit = 4096;
constexpr size_t kTextLimit = 256;

struct BioFree {
  void operator()(BIO* b) const { BIO_free_all(b); }
};
using Bio = std::unique_ptr<BIO, BioFree>;

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
  TRY(std::string text, io::read_file(text_or_path, kTextLimit));
  if (text.ends_with('\n')) text.pop_back();
  auto key = public_key_of(text);
  if (!key) return std::unexpected(key.error().in(text_or_path));
  return key;
}

void KeyFree::operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }

Result<SealKey> SealKey::adopt(EVP_PKEY* key) {
  std::unique_ptr<EVP_PKEY, KeyFree> owned(key);
  if (!owned) return fail(Code::kFailed, "making an X25519 key: " + pki::tls_error());
  SealPublicKey of;
  size_t size = of.bytes.size();
  if (EVP_PKEY_get_raw_public_key(key, of.bytes.data(), &size) != 1 || size != of.bytes.size())
    return fail(Code::kFailed, "reading an X25519 key: " + pki::tls_error());
  return SealKey(owned.release(), of);
}

Result<SealKey> SealKey::generate() { return adopt(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519")); }

SealKey SealKey::from_seed(const std::array<unsigned char, 32>& seed) {
  auto made = adopt(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, seed.data(), seed.size()));
  GODWIT_CHECK(made.has_value());
  return *std::move(made);
}

Result<SealKey> SealKey::load(const std::string& path) {
  TRY(const Fd file, sys::open(path, O_RDONLY | O_NONBLOCK));
  TRY(const auto status, sys::stat(file));
  if (!S_ISREG(status.st_mode)) return fail(Code::kRefused, path + " is not a file");
  if ((status.st_mode & 077) != 0)
    return fail(Code::kRefused, path + " holds a private key, and others may read or write it; chmod 600 it");
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    return fail(Code::kRefused, path + " holds a private key, and is another user's");
  TRY(const std::string pem, io::read_all(file.get(), kPemLimit));
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // The empty password keeps OpenSSL from asking on the terminal.
  std::unique_ptr<EVP_PKEY, KeyFree> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, const_cast<char*>("")));
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_X25519) {
    (void)pki::tls_error();
    return fail(Code::kCorrupt, path + " is not an X25519 private key in PEM");
  }
  return adopt(key.release());
}

Result<void> SealKey::save(const std::string& path) const {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return fail(Code::kFailed, "writing a key: " + pki::tls_error());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  // O_EXCL and no rename: two commands that make a key at once can't take it from each other.
  auto file = sys::open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!file && file.error().errnum == EEXIST) return fail(Code::kRefused, path + " is there already");
  if (!file) return std::unexpected(file.error());
  TRY_DO(io::write_full(file->get(), std::string_view(data, static_cast<size_t>(size))));
  return io::replace_file(path + ".pub", public_.text() + "\n", 0644);
}

}  // namespace godwit::sealing
