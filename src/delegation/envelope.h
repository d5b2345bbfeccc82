// DSSE envelopes (github.com/secure-systems-lab/dsse, version 1): signed bytes of a stated kind.
//
// What is signed is PAE(type, payload) = "DSSEv1 " LEN(type) " " type " " LEN(payload) " " payload, so a signature over one
// kind of statement is never good for another, and never for TLS (whose signatures begin with 64 blanks). A statement is
// known by the SHA-256 of its PAE: the envelope, the order of its signatures and their bytes don't change its name.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "delegation/keys.h"
#include "delegation/refusal.h"

namespace godwit::delegation {

inline constexpr std::string_view kDocumentType = "application/vnd.godwit.delegation.v1+json";
inline constexpr std::string_view kCaveatType = "application/vnd.godwit.caveat.v1+json";
inline constexpr std::string_view kEntryType = "application/vnd.godwit.handover.v1+json";
inline constexpr std::string_view kHeadType = "application/vnd.godwit.head.v1+json";
inline constexpr std::string_view kRevocationType = "application/vnd.godwit.revocation.v1+json";

/// 64 paths of 1 KiB each, in base64: more is no policy that a person has written.
inline constexpr size_t kMaxPayload = 96u << 10;
inline constexpr size_t kMaxEnvelope = 132u << 10;
inline constexpr size_t kMaxSignatures = 2;

struct Signed {
  std::string key_id;  ///< PublicKey::id()
  Signature signature{};
  bool operator==(const Signed&) const = default;
};

struct Envelope {
  std::string type;
  std::string payload;
  std::vector<Signed> signatures;

  [[nodiscard]] std::string pae() const;
  [[nodiscard]] Digest digest() const { return sha256(pae()); }
  /// The canonical JSON form: what lies in files and travels.
  [[nodiscard]] std::string encode() const;
  /// Strict. `type` is the kind that is expected here.
  static Checked<Envelope> decode(std::string_view text, std::string_view type);
  void sign(const PrivateKey& key);
  /// Ok when signature `index` is `key`'s.
  [[nodiscard]] Checked<void> check(size_t index, const PublicKey& key) const;
  bool operator==(const Envelope&) const = default;
};

}  // namespace godwit::delegation
