#include "base/private_key.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/io.h"
#include "base/pki.h"
#include "base/sys.h"

namespace godwit::pki {
namespace {

constexpr size_t kPemLimit = 4096;  // either kind has 119 bytes

struct BioFree {
  void operator()(BIO* b) const { BIO_free_all(b); }
};
using Bio = std::unique_ptr<BIO, BioFree>;

}  // namespace

void KeyFree::operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }

Result<OwnKey> load_private_key(const std::string& path, const KeyKind& kind) {
  // The descriptor is looked at, not the name: it can't become another file in between.
  TRY(const Fd file, sys::open(path, O_RDONLY | O_NONBLOCK));
  TRY(const auto status, sys::stat(file));
  if (!S_ISREG(status.st_mode)) return fail(Code::kRefused, path + " is not a file");
  if ((status.st_mode & 077) != 0)
    return fail(Code::kRefused, path + " holds a private key, and others may read or write it; chmod 600 it");
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    return fail(Code::kRefused, path + " holds a private key, and is another user's");
  TRY(const std::string pem, io::read_all(file.get(), kPemLimit));
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // The empty password keeps OpenSSL from asking on the terminal for that of an encrypted key.
  OwnKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, const_cast<char*>("")));
  if (!key || EVP_PKEY_get_base_id(key.get()) != kind.type) {
    (void)tls_error();
    return fail(Code::kCorrupt, path + " is not an " + std::string(kind.name) + " private key in PEM");
  }
  return key;
}

Result<void> save_private_key(const std::string& path, EVP_PKEY* key, std::string_view public_text) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return fail(Code::kFailed, "writing a key: " + tls_error());
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  // O_EXCL and no rename: two commands that make a key at once can't take it from each other.
  auto file = sys::open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!file && file.error().errnum == EEXIST) return fail(Code::kRefused, path + " is there already");
  if (!file) return std::unexpected(file.error());
  TRY_DO(io::write_full(file->get(), std::string_view(data, static_cast<size_t>(size))));
  return io::replace_file(path + ".pub", std::string(public_text) + "\n", 0644);
}

Result<void> read_public_key(const EVP_PKEY* key, const KeyKind& kind, std::span<unsigned char, 32> out) {
  const std::string name(kind.name);
  if (key == nullptr) return fail(Code::kFailed, "making an " + name + " key: " + tls_error());
  size_t size = out.size();
  if (EVP_PKEY_get_raw_public_key(key, out.data(), &size) != 1 || size != out.size())
    return fail(Code::kFailed, "reading an " + name + " key: " + tls_error());
  return {};
}

}  // namespace godwit::pki
