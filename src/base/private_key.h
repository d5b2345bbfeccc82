// Private keys in files: PEM, unencrypted, for their owner alone; the public half beside them in PATH.pub.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace godwit::pki {

struct KeyFree {
  void operator()(EVP_PKEY* key) const;
};
using OwnKey = std::unique_ptr<EVP_PKEY, KeyFree>;

/// What a module uses its keys for decides the kind: EVP_PKEY_ED25519 or EVP_PKEY_X25519, and "Ed25519" or "X25519" for people.
struct KeyKind {
  int type;
  std::string_view name;
};

/// Code::kRefused when others may read or write the file or it is another user's (root's may be used by anybody who can read
/// it), kCorrupt when it isn't such a key; errnum ENOENT when there is none.
Result<OwnKey> load_private_key(const std::string& path, const KeyKind& kind);
/// Mode 0600; never over another file (kRefused). `public_text` goes to PATH.pub.
Result<void> save_private_key(const std::string& path, EVP_PKEY* key, std::string_view public_text);
/// The public half: both kinds have 32 bytes. `key` may be null: then making it failed, and OpenSSL's queue says why.
Result<void> read_public_key(const EVP_PKEY* key, const KeyKind& kind, std::span<unsigned char, 32> out);

}  // namespace godwit::pki
