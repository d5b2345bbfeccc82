// A move of a unit with a delegation, on one of its two keepers: what it signs, and what it has verified.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "confine/confine.h"
#include "delegation/delegation.h"
#include "engine/engine.h"
#include "keeper/identity.h"

namespace godwit::keeper {

/// What a unit that starts or is restored here may do: its document, the caveats since and this node's own word. Everything without
/// a document.
Result<confine::Rules> rules_here(const std::string& document, const std::vector<std::string>& caveats,
                                  const NodeIdentity& self);

class Handover {
 public:
  /// Of a unit without a delegation: everything is allowed, nothing is signed.
  Handover() = default;
  /// `passage`: empty for a unit without one. `self` must outlive it; `peer` is the other node, as it is called here; `token` is
  /// the move's, `epoch` the source's. Of what the passage says about sites only this node's own list counts.
  static Result<Handover> open(const std::string& passage, const NodeIdentity& self, const std::string& peer,
                               const std::string& token, uint64_t epoch);

  /// Destination, before anything is touched. False: refusal() and blockers() say why.
  bool admit();
  [[nodiscard]] Error refusal() const;
  [[nodiscard]] std::vector<engine::Blocker> blockers() const;

  /// After admit(): what the unit may do here, this node's own caveat counted in; none without a delegation.
  [[nodiscard]] const delegation::Grants* grants() const { return allowed_ ? &*allowed_ : nullptr; }

  /// Source, before the freeze: all is read that hand_over() rests on. False as for admit().
  bool depart();
  /// Source, in the freeze: the entry with this node's signature.
  Result<std::string> hand_over(std::string_view digest);
  /// Destination: the entry with both, and the caveat that this node adds.
  Result<std::string> take_over(std::string_view digest, const std::string& statement);

  /// After the commit: what this node signed, a line more in STATE/receipts/END-DOCUMENT, END being the document's last second.
  /// Files of documents that are over go. For people: no handover waits for it or rests on it.
  [[nodiscard]] Result<void> keep_receipt(const std::string& state_dir) const;

 private:
  /// Whether the passage is of this node and that peer, and a unit without one may go between them.
  [[nodiscard]] delegation::Checked<void> check_ends(bool leaving) const;

  std::string self_, peer_;  ///< "site/node"
  bool crossing_ = false;  ///< from one site to another
  std::optional<delegation::Passage> passage_;
  const delegation::PrivateKey* key_ = nullptr;
  std::string nonce_;
  uint64_t epoch_ = 0;
  [[nodiscard]] delegation::Word word() const { return {*key_, wish_}; }
  std::optional<delegation::Grants> wish_;
  std::string receipt_;
  std::optional<delegation::Departure> departing_;
  std::optional<delegation::Admission> admission_;
  std::optional<delegation::Grants> allowed_;
  std::optional<delegation::Refusal> why_;
};

}  // namespace godwit::keeper
