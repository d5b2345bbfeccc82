// A move of a unit with a delegation, on one of its two keepers: what it signs, and what it has verified.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "delegation/delegation.h"
#include "engine/engine.h"

namespace godwit::keeper {

class Handover {
 public:
  /// Of a unit without a delegation: everything is allowed, nothing is signed.
  Handover() = default;
  /// `passage`: empty for a unit without one. `key` must outlive it; `token` is the move's, `epoch` the source's.
  static Result<Handover> open(const std::string& passage, const std::optional<delegation::PrivateKey>& key,
                               const std::string& token, uint64_t epoch);

  /// Destination, before anything is touched. False: refusal() and blockers() say why.
  bool admit();
  [[nodiscard]] Error refusal() const;
  [[nodiscard]] std::vector<engine::Blocker> blockers() const;

  /// After admit(): what the unit may do from here on; none without a delegation.
  [[nodiscard]] const delegation::Grants* grants() const {
    return admission_ ? &admission_->authority.grants() : nullptr;
  }

  /// Source: the entry with this node's signature.
  Result<std::string> hand_over(std::string_view digest);
  /// Destination: the entry with both.
  Result<std::string> take_over(std::string_view digest, const std::string& statement);

 private:
  std::optional<delegation::Passage> passage_;
  const delegation::PrivateKey* key_ = nullptr;
  std::string nonce_;
  uint64_t epoch_ = 0;
  std::optional<delegation::Admission> admission_;
  std::optional<delegation::Refusal> why_;
};

}  // namespace godwit::keeper
