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

/// What passes from the source to the destination with the state, and from there to the log with the commit: caveats of the
/// source, the entry, caveats of the destination; a line each.
struct Statement {
  std::vector<std::string> before;
  std::string entry;
  std::vector<std::string> after;
};
std::string encode(const Statement& statement);
Checked<Statement> read_statement(std::string_view text);

/// What a node adds to a unit's caveats; nothing when there is no `wish`.
struct Word {
  const PrivateKey& key;
  const std::optional<Grants>& wish;
};
struct Departure {
  Entry entry;
  std::vector<std::string> caveats;
};

/// The source's first half, before the freeze: all that it will sign but for the state's digest and the time. Everything is
/// read here, and the user's signature verified; both sites must be trusted. `epoch` is the new one.
Checked<Departure> depart(const Passage& passage, uint64_t epoch, const std::string& nonce, const Word& word,
                          uint64_t now);
/// Its second half, in the freeze: one signature.
Checked<std::string> hand_over(const Departure& departing, const PrivateKey& key, const Digest& state, uint64_t now);
/// The destination's first half, before anything is touched.
Checked<Admission> admit(const Passage& passage, const Facts& facts, uint64_t now);
/// Its second half: verified, and signed by this node, too; with the caveat that it adds.
Checked<std::string> take_over(const Passage& passage, const Admission& admission, const Word& word,
                               std::string_view statement, uint64_t epoch, const Digest& state,
                               const std::string& nonce, uint64_t now);

}  // namespace godwit::delegation
