// All that two nodes need for one handover, as the log gives it to them: the offer, whom to believe, who hands over to whom.
// One line of JSON, so that what carries it needs to know nothing of it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "delegation/admission.h"

namespace godwit::delegation {

struct Passage {
  Offer offer;
  Trust trust;
  std::string source, destination;  ///< "site/node"
  Facts facts = {};  ///< what the log knows of the unit; conditions speak of it
};

std::string encode(const Passage& passage);
/// From a controller, whom this node believes; malformed is Code::kCorrupt all the same.
Result<Passage> decode_passage(std::string_view text);

/// The nonce of a move: of the token that the destination made for it, which isn't shown to others by it.
std::string nonce_of_token(std::string_view token);

/// The source's half, in the freeze. `epoch` is the new one.
Checked<std::string> hand_over(const Passage& passage, const PrivateKey& key, uint64_t epoch, const Digest& state,
                               const std::string& nonce, uint64_t now);
/// The destination's first half, before anything is touched.
Checked<Admission> admit(const Passage& passage, const Facts& facts, uint64_t now);
/// Its second half: verified, and signed by this node, too.
Checked<std::string> take_over(const Passage& passage, const Admission& admission, const PrivateKey& key,
                               std::string_view entry, const Digest& state, const std::string& nonce, uint64_t now);

}  // namespace godwit::delegation
