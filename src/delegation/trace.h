// The trace list: who handed the unit to whom, in which state, signed by both; and heads, by which a log says how far it is.
// The protocol and why it is safe: trace.cc.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "delegation/document.h"

namespace godwit::delegation {

/// One handover.
struct Entry {
  Digest document;
  Digest authority;  ///< Authority::digest(): no caveat gets lost on the way
  uint64_t sequence = 0;  ///< from 1
  Digest previous;  ///< of the entry before, of the document at first
  uint64_t epoch = 0;  ///< the unit's, at the destination
  Digest state;  ///< what the destination will have compared before it reads a byte of it
  std::string source, destination;  ///< "site/node"
  uint64_t time = 0;
  std::string nonce;  ///< 32 hex digits, the destination's choice

  bool operator==(const Entry&) const = default;
  /// The source signs first; the destination adds its signature with Envelope::sign().
  [[nodiscard]] Checked<Envelope> sign(const PrivateKey& source_key) const;
  static Checked<Entry> parse(std::string_view payload);
};

struct SignedEntry {
  Entry entry;
  Envelope envelope;
  Digest digest;
};
/// Form only. `signatures`: 1 before the destination has signed, 2 after it.
Checked<SignedEntry> read_entry(std::string_view text, size_t signatures);

/// The log's word: this unit's list ends here.
struct Head {
  Digest document;
  Digest authority;
  uint64_t sequence = 0;  ///< of the last entry; 0: none yet
  Digest entry;  ///< its digest; the document's when there is none
  uint64_t epoch = 0;
  std::string holder;  ///< "site/node" that has the unit
  uint64_t time = 0;  ///< when this was said
  std::string log;  ///< the site whose log it is

  bool operator==(const Head&) const = default;
  [[nodiscard]] Checked<Envelope> sign(const PrivateKey& log_key) const;
  static Checked<Head> parse(std::string_view payload);
};

struct SignedHead {
  Head head;
  Envelope envelope;
};
/// Form only.
Checked<SignedHead> read_head(std::string_view text);

/// Whom this site believes. Names of nodes are "site/node".
struct Trust {
  std::string site;  ///< this one
  std::map<std::string, PublicKey> users;  ///< by PublicKey::id()
  std::map<std::string, PublicKey> nodes;
  std::map<std::string, PublicKey> logs;  ///< by site
  std::set<std::string> sites;  ///< besides this one
  std::set<std::string> revoked;  ///< revocation ids

  [[nodiscard]] bool trusts_site(std::string_view name) const {
    return name == site || sites.contains(std::string(name));
  }
  /// What one was told by another, seen with the own eyes: this site and those that it trusts itself. Keys of nodes and logs of
  /// all others go.
  void restrict_to(const std::string& own, std::set<std::string> trusted);
  [[nodiscard]] Checked<PublicKey> node(const std::string& name) const;
  [[nodiscard]] Checked<void> check_revoked(const Document& document) const;
};
/// The "site" of "site/node".
std::string_view site_of(std::string_view node);
std::string_view node_of(std::string_view node);

/// How far clocks of two machines may be apart.
inline constexpr uint64_t kSkew = 300;
/// A head that is older was asked for by somebody else.
inline constexpr uint64_t kHeadAge = 600;

// ------------------------------------------------------------------------------------------------ the log
/// What the log keeps of a unit, besides the statements themselves.
struct LogState {
  Authority authority;
  Head head;
  uint64_t last_time = 0;  ///< of the last entry
};
/// A unit begins at `holder`.
Checked<LogState> open_log(Authority authority, const std::string& log, const std::string& holder, uint64_t epoch,
                           uint64_t now, const Trust& trust);
/// The one place where an entry becomes part of history. `caveats`: those that are new.
Checked<LogState> append(LogState state, const std::vector<std::string>& caveats, const SignedEntry& entry,
                         const Trust& trust, uint64_t now);
/// The present holder narrows what may be done from here on, without a handover.
Checked<LogState> narrow(LogState state, const std::vector<std::string>& caveats, const Trust& trust, uint64_t now);

// ------------------------------------------------------------------------------------------------ the audit
inline constexpr size_t kMaxTraceBytes = 8u << 20;
inline constexpr size_t kMaxEntries = 4096;
/// A trace list as text: an envelope a line.
Checked<std::vector<SignedEntry>> read_trace(std::string_view text);
std::string write_trace(const std::vector<SignedEntry>& entries);
/// Verifies a whole list, against the log's head when there is one. Its cost grows with the list: for people and for
/// courts; no admission waits for it.
Checked<void> audit(const Authority& authority, const std::vector<SignedEntry>& entries,
                    const std::optional<Head>& head, const Trust& trust);

}  // namespace godwit::delegation
