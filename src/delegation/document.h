// What is signed: the document by the user, caveats by nodes that hold the unit, a revocation by the user again.
//
// All are values; sign() makes an envelope, the readers take one. Readers refuse whatever form is not exactly the one that
// sign() writes (docs/formats/delegation.md has the bytes).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "delegation/envelope.h"
#include "delegation/grants.h"

namespace godwit::delegation {

/// What one user allows one instance of one program.
struct Document {
  PublicKey issuer;
  std::string instance;  ///< 32 hex digits, random: never two of the same
  Digest program;  ///< of the executable's bytes
  Digest arguments;  ///< digest_of_arguments()
  Grants grants;
  std::string revocation;  ///< 32 hex digits, random: what revoke names

  bool operator==(const Document&) const = default;
  [[nodiscard]] Checked<Envelope> sign(const PrivateKey& user) const;
  static Checked<Document> parse(std::string_view payload);
};

struct SignedDocument {
  Document document;
  Envelope envelope;
  Digest digest;  ///< of the statement: what everything that follows is bound to
};
/// Form, and the signature by the key that the document itself names. Whether that is a user of ours is another question.
Checked<SignedDocument> read_document(std::string_view text);

/// A node that holds the unit narrows what may be done with it from here on. `grants` is all that is left.
struct Caveat {
  Digest document;
  Digest previous;  ///< of the caveat before, or of the document
  std::string node;  ///< "site/node", the signer
  uint64_t sequence = 0;  ///< handovers so far
  uint64_t time = 0;
  Grants grants;

  bool operator==(const Caveat&) const = default;
  [[nodiscard]] Checked<Envelope> sign(const PrivateKey& node_key) const;
  static Checked<Caveat> parse(std::string_view payload);
};
inline constexpr size_t kMaxCaveats = 16;

struct SignedCaveat {
  Caveat caveat;
  Envelope envelope;
  Digest digest;
};
/// Form only: the signer's key is the caller's to know.
Checked<SignedCaveat> read_caveat(std::string_view text);

/// Document and caveats, linked and narrowing. Signatures of caveats aren't looked at.
struct Authority {
  SignedDocument document;
  std::vector<SignedCaveat> caveats;
  /// What is still allowed.
  [[nodiscard]] const Grants& grants() const {
    return caveats.empty() ? document.document.grants : caveats.back().caveat.grants;
  }
  /// The statement that it ends in.
  [[nodiscard]] Digest digest() const { return caveats.empty() ? document.digest : caveats.back().digest; }
};
Checked<Authority> chain(SignedDocument document, const std::vector<std::string>& caveats);
/// With more of them behind those that it has.
Checked<Authority> extend(Authority authority, const std::vector<std::string>& caveats);
/// `node`, which holds the unit after `sequence` handovers, allows no more than `wish` from here on: the caveat, added to
/// `authority`, or nothing when that is so already.
Checked<std::optional<std::string>> narrow(Authority& authority, const std::string& node, uint64_t sequence,
                                           const Grants& wish, const PrivateKey& key, uint64_t now);

struct Revocation {
  Digest document;
  std::string revocation;  ///< the document's
  uint64_t time = 0;

  bool operator==(const Revocation&) const = default;
  [[nodiscard]] Checked<Envelope> sign(const PrivateKey& user) const;
  static Checked<Revocation> parse(std::string_view payload);
};
/// A revocation of `document`, signed by its issuer.
Checked<Revocation> read_revocation(std::string_view text, const SignedDocument& document);

}  // namespace godwit::delegation
