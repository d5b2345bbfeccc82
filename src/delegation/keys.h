// Ed25519 keys (RFC 8032) by OpenSSL: of users, of nodes (for trace entries) and of logs.
//
// A private key is a file of mode 0600, PKCS #8 PEM, on the host where it was made. There is no function that gives its
// bytes to anything but that file. A public key is 32 bytes; its id is the SHA-256 of them, 64 hex digits.
#pragma once

#include <openssl/types.h>

#include <array>
#include <compare>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/private_key.h"
#include "base/result.h"

namespace godwit::delegation {

/// SHA-256. What it is of is said where it stands.
struct Digest {
  std::array<unsigned char, 32> bytes{};
  auto operator<=>(const Digest&) const = default;
  [[nodiscard]] std::string hex() const;
};
Digest sha256(std::string_view bytes);
/// 64 lower-case hex digits; nothing else.
Result<Digest> digest_of_hex(std::string_view text);
/// Of a program's arguments: each as its length (8 bytes, little-endian) and its bytes, the program's name included.
Digest digest_of_arguments(std::span<const std::string> arguments);
/// Of a file's content, read in pieces.
Result<Digest> digest_of_file(const std::string& path);

struct PublicKey {
  std::array<unsigned char, 32> bytes{};
  auto operator<=>(const PublicKey&) const = default;
  [[nodiscard]] std::string id() const;
  [[nodiscard]] std::string base64() const;
};
/// 44 characters of base64.
Result<PublicKey> public_key_of(std::string_view base64);
/// A line of 44 characters, as save() writes it to the file beside the private key.
Result<PublicKey> load_public_key(const std::string& path);

using Signature = std::array<unsigned char, 64>;
/// Whether `signature` is `key`'s over these bytes.
bool verify(const PublicKey& key, std::string_view bytes, const Signature& signature);

class PrivateKey {
 public:
  static Result<PrivateKey> generate();
  /// From 32 bytes that are known to others: for tests and vectors only.
  static PrivateKey from_seed(const std::array<unsigned char, 32>& seed);
  /// Refuses (Code::kRefused) a file that is not the caller's or root's, or that others may read or write.
  static Result<PrivateKey> load(const std::string& path);
  /// The key of a machine: made when it isn't there.
  static Result<PrivateKey> load_or_make(const std::string& path);
  /// Writes PATH (mode 0600 from its first byte on) and PATH.pub. An existing key is never overwritten: Code::kRefused.
  [[nodiscard]] Result<void> save(const std::string& path) const;
  [[nodiscard]] const PublicKey& public_key() const { return public_; }
  [[nodiscard]] Signature sign(std::string_view bytes) const;

 private:
  PrivateKey(pki::OwnKey key, PublicKey of) : key_(std::move(key)), public_(of) {}
  static Result<PrivateKey> adopt(pki::OwnKey key);
  pki::OwnKey key_;
  PublicKey public_;
};

}  // namespace godwit::delegation
