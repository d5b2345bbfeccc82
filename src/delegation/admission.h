// Admission: may this unit come here, and is this the state that was handed over. What must be verified by whom: trace.cc.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "delegation/trace.h"

namespace godwit::delegation {

/// What a source shows before anything is sent: statements in envelopes. Its size doesn't depend on how far the unit came.
struct Offer {
  std::string document;
  std::vector<std::string> caveats;
  std::string head;  ///< signed by the log; empty for a unit that starts here
  std::string last;  ///< the last entry, signed by both; empty at sequence 0
};
inline constexpr size_t kMaxOffer = 512u << 10;

/// What a node itself has seen of an instance, and never forgets while the document is valid.
struct Known {
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  Digest entry;
};

struct Question {
  std::string operation{kMigrate};
  uint64_t now = 0;
  std::string source;  ///< "site/node", as its certificate says; empty when the unit starts here
  std::string destination;  ///< this node
  std::string instance = {};  ///< empty: any
  std::optional<Digest> program = {}, arguments = {};  ///< of what is to run
  Facts facts = {};
  std::optional<Known> known = {};
};

struct Admission {
  Authority authority;
  Head head;  ///< sequence 0 and this node as holder for a unit that starts here
  uint64_t last_time = 0;
};

/// Everything that can be known before the freeze. Five signatures at most (one of them the user's) and a caveat's for each
/// that isn't in the log yet, however many handovers there were.
Checked<Admission> admit(const Offer& offer, const Question& question, const Trust& trust);

/// Caveats of the source that came with its entry: the unit may still come to `destination`, under what is left.
Checked<Admission> add_caveats(Admission admission, const std::vector<std::string>& caveats,
                               const std::string& destination, const Trust& trust, uint64_t now);

/// The entry that a source signs.
Entry next_entry(const Authority& authority, const Head& head, const std::string& destination, uint64_t epoch,
                 const Digest& state, const std::string& nonce, uint64_t now);

/// What the destination knows of a move from elsewhere than from its source.
struct Arrival {
  std::string destination;  ///< this node
  uint64_t epoch = 0;  ///< that the commit gives the unit
  Digest state;  ///< of what arrived
  std::string nonce;  ///< what this node chose
};
/// At the destination, when the state has arrived and before it is read: `entry` has the source's signature only.
Checked<SignedEntry> accept(const Admission& admission, std::string_view entry, const Arrival& arrival,
                            const Trust& trust, uint64_t now);

}  // namespace godwit::delegation
