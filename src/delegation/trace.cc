// Handovers: what must be verified, by whom, and why that is enough.
//
// The problem. A unit carries a document that its user signed once. It has been handed over n times, by machines that the
// user never met. A destination wants to know, before it reads a byte of state: did the user allow this? is the one who
// offers it the one who has it, and in its newest epoch? how often did it move? was anything taken out of its history? To
// verify n entries of two signatures each answers all of that, and costs 0.2 ms an entry: 200 ms at 1000 hops, several
// times the move. Admission has to cost the same at hop 1000 as at hop 1.
//
// What was looked at. *Nested signatures* (each node signs what it got; proxy certificates, GSI) verify n deep. *Aggregate
// signatures* (BLS) make n signatures one, but verifying needs n keys and a pairing library; n stays. *Trust the last
// hop alone* is flat, but two nodes in collusion can invent a history that both sign. *A transparency log* (RFC 6962) is
// flat with log-size proofs, for a log that doesn't judge what it records. Ours is better placed: whoever decides where
// a unit lives, the store behind the commit point, sees every handover one at a time, in order, and can refuse. So the log
// is a witness that verifies, and each of its heads stands for everything before it.
//
// The idea. Every statement is verified in full exactly once by each of those who need it, at the time it is made:
//
//   who          verifies, of handover n + 1                                            signatures, whatever n is
//   destination  user's document; caveats since the head; the log's head n; entry n      1 user + 1 log + 2
//                (both signatures); entry n + 1 (source's), its state against what came,  + 1, signs 1
//                its epoch against the move's
//   log          caveats since the head; entry n + 1 (both) against head n, its epoch      2, signs 1 (the next head)
//                and destination against what the commit is about to do
//   source       user's document, before the freeze: it signs for what it has read          1 user, signs 1
//   anybody      the whole list, later (`audit`)                                          2 n
//
// Why that is safe. Let a list be good if each entry is signed by both ends, follows its predecessor, and was allowed by the
// grants in force. Claim: the log's head n stands for one good list of n entries. By induction: head 0 says that the unit
// began at a holder, under a document whose user signature the log verified; append() makes head n + 1 only from head n,
// with an entry that names head n's entry as `previous`, head n's holder as `source`, n + 1 as `sequence`, whose signatures
// verify under keys of those two nodes and which the grants of head n allow. It does so by compare-and-set in the same
// transaction as the commit, so there is no second head n + 1. SHA-256 binds each entry to all before it: who knows
// head n knows whether any list that he is shown later is that one.
//
// What each party can do by itself, or together:
//   * A source that alters state signs a digest that the destination's own digest contradicts (altered-state); it can't
//     deny what it signed.
//   * A source that offers an old copy (rollback), or a unit that it has given away already, shows an old head: refused by age, and
//     if that doesn't help, at append(): the commit is not granted, and nothing ran. So a stale head costs time, never safety.
//   * A source that clones offers one head to two destinations. Both verify, both prepare, one append() wins (cloned).
//   * Nodes in collusion can sign any entries they like between themselves. Without the log's signature over a head it is
//     no history, and the log appends only to its own head.
//   * Dropping a caveat changes Authority::digest(), which entry and head carry (caveats-removed). Adding one that allows more
//     is refused by whoever reads it: chain() compares each with the one before (widened).
//   * A log that lies can repeat or forget a head, that is, let a unit run twice or count too few hops. See below.
//   * A replayed offer carries a nonce that the destination didn't choose for it.
//
// Whom a node believes. In a Passage the keys (of the user, the nodes, the log) come from the controller, over a connection that is
// authenticated by its site's certificate; the controller is the log, too. So against a *controller* that lies these signatures
// protect no node of its own: it can name any key as a user's. They protect nodes and controller from other nodes, users from
// whoever has only a node, and they leave evidence: an entry can't be forged later with keys that the nodes registered. What a
// node doesn't take from the controller is which sites it trusts (its own list, base/sites.h; Trust::restrict_to() drops keys of
// the others), who it is itself and whom it is speaking with (certificates), and what epoch and nonce this move has.
// admit() can also compare with what the node has seen itself (Question::known); today's nodes keep no such memory between
// moves, so a rollback is caught by the head's age and, for certain, by the log.
//
// Caveats. A node that holds a unit may narrow what is done with it from then on (STATE/caveat.json): when it takes the unit in,
// behind the entry that it signs, or when it gives away one that began here, before that entry. So what travels with the state
// and with the commit are lines: caveats of the source, the entry, caveats of the destination. Each names the statement before
// it, and allows nothing that that one didn't. A node can fill up the 16 that there may be, and so keep others from adding theirs:
// they then refuse the unit, which is what a node can do by itself anyway.
//
// Domains. Keys of users, nodes and logs are apart, and DSSE types keep a signature over one kind of statement from being
// read as another.
//
// Removal, reordering and truncation can't be expressed in an offer, which has one entry and one head: any difference is
// another digest there. In a whole list audit() tells them apart for people.
//
// Clocks. Times are those of machines that may be kSkew apart. They order nothing (sequence does); they are there for
// validity and for people.
//
// A restore from a checkpoint is no handover: the log moves the holder and raises the epoch by itself (the controller's
// `restored`), the list stays as long as it was. An entry that was made in an epoch before that is `rolled-back`.
//
// Limits. The log must be reachable at a commit; it is, for it is the store. A site that trusts a log of another site trusts
// its order of events. Revocation is as fast as the log tells it: at the next head.
#include "delegation/trace.h"

#include <algorithm>
#include <unordered_map>

#include "delegation/checks.h"

namespace godwit::delegation {
namespace {

std::string number_of(const SignedEntry& e) { return "entry " + std::to_string(e.entry.sequence); }

Checked<void> check_place_in_list(const SignedEntry& entry, const Head& head) {
  const Entry& e = entry.entry;
  if (e.document != head.document) return refuse(Why::kOtherDocument, number_of(entry));
  if (e.sequence == head.sequence)
    return refuse(entry.digest == head.entry ? Why::kReplayed : Why::kCloned, number_of(entry));
  if (e.sequence < head.sequence) return refuse(Why::kRolledBack, number_of(entry));
  if (e.sequence > head.sequence + 1)
    return refuse(Why::kRemoved, number_of(entry) + " after " + std::to_string(head.sequence));
  if (e.previous != head.entry) return refuse(Why::kBrokenLink, number_of(entry));
  if (e.epoch <= head.epoch)
    return refuse(Why::kRolledBack, "epoch " + std::to_string(e.epoch) + " after " + std::to_string(head.epoch));
  if (e.source != head.holder) return refuse(Why::kNotTheHolder, e.source + ", it is at " + head.holder);
  return {};
}

/// The index behind the statement `digest`: 0 for the document, i + 1 for caveat i.
std::optional<size_t> position(const Authority& authority, const Digest& digest) {
  if (digest == authority.document.digest) return 0;
  for (size_t i = 0; i < authority.caveats.size(); ++i)
    if (authority.caveats[i].digest == digest) return i + 1;
  return std::nullopt;
}

}  // namespace

std::string_view site_of(std::string_view node) { return node.substr(0, node.find('/')); }
std::string_view node_of(std::string_view node) { return node.substr(std::min(node.size(), node.find('/') + 1)); }

void Trust::restrict_to(const std::string& own, std::set<std::string> trusted) {
  site = own;
  sites = std::move(trusted);
  std::erase_if(nodes, [&](const auto& row) { return !trusts_site(site_of(row.first)); });
  std::erase_if(logs, [&](const auto& row) { return !trusts_site(row.first); });
}

Checked<PublicKey> Trust::node(const std::string& name) const {
  const auto it = nodes.find(name);
  if (it == nodes.end()) return refuse(Why::kUnknownNode, name);
  return it->second;
}

Checked<void> Trust::check_revoked(const Document& document) const {
  if (revoked.contains(document.revocation)) return refuse(Why::kRevoked, document.revocation);
  return {};
}

Checked<void> check_sites(const std::string& source, const std::string& destination, const Trust& trust) {
  for (const auto* name : {&source, &destination})
    if (!trust.trusts_site(site_of(*name))) return refuse(Why::kUntrustedSite, std::string(site_of(*name)));
  return {};
}

Checked<void> check_next(const SignedEntry& entry, const Digest& authority, const Grants& grants, const Head& head,
                         uint64_t last_time, const Trust& trust) {
  const Entry& e = entry.entry;
  TRY_DO(check_place_in_list(entry, head));
  if (e.authority != authority) return refuse(Why::kCaveatsRemoved, number_of(entry));
  if (e.time + kSkew < last_time) return refuse(Why::kTimeBackwards, number_of(entry));
  if (!grants.allows(kMigrate)) return refuse(Why::kForbiddenOperation, std::string(kMigrate));
  if (e.sequence > grants.handovers) {
    return refuse(Why::kOverLimit, std::to_string(e.sequence) + ", at most " + std::to_string(grants.handovers));
  }
  TRY_DO(grants.check_time(e.time));
  TRY_DO(check_sites(e.source, e.destination, trust));
  for (const auto* name : {&e.source, &e.destination}) TRY_DO(grants.check_place(site_of(*name), node_of(*name)));
  return {};
}

Checked<void> check_signatures(const SignedEntry& entry, const Trust& trust) {
  TRY(const PublicKey source, trust.node(entry.entry.source));
  TRY_IN("the source's of " + number_of(entry), entry.envelope.check(0, source));
  if (entry.envelope.signatures.size() < 2) return {};
  TRY(const PublicKey destination, trust.node(entry.entry.destination));
  TRY_IN("the destination's of " + number_of(entry), entry.envelope.check(1, destination));
  return {};
}

Checked<void> check_new_caveats(const Authority& authority, const Digest& known, const std::string& holder,
                                uint64_t sequence, const Trust& trust, uint64_t now) {
  const auto from = position(authority, known);
  if (!from) return refuse(Why::kCaveatsRemoved, known.hex());
  for (size_t i = *from; i < authority.caveats.size(); ++i) {
    const SignedCaveat& c = authority.caveats[i];
    if (c.caveat.node != holder || c.caveat.sequence != sequence) {
      return refuse(Why::kNotTheHolder, "caveat of " + c.caveat.node + ", the unit is at " + holder);
    }
    if (c.caveat.time > now + kSkew) return refuse(Why::kTimeBackwards, "caveat of " + c.caveat.node);
    TRY(const PublicKey key, trust.node(c.caveat.node));
    TRY_IN("caveat of " + c.caveat.node, c.envelope.check(0, key));
  }
  return {};
}

Checked<LogState> open_log(Authority authority, const std::string& log, const std::string& holder, uint64_t epoch,
                           uint64_t now, const Trust& trust) {
  const Document& document = authority.document.document;
  if (!trust.users.contains(document.issuer.id())) return refuse(Why::kUntrustedUser, document.issuer.id());
  TRY_DO(trust.check_revoked(document));
  if (!authority.caveats.empty()) return refuse(Why::kNotTheHolder, "caveats before it began");
  TRY_DO(authority.grants().check_time(now));
  if (!authority.grants().allows(kRun)) return refuse(Why::kForbiddenOperation, std::string(kRun));
  TRY_DO(authority.grants().check_place(site_of(holder), node_of(holder)));
  LogState out;
  const Digest id = authority.document.digest;
  out.head = Head{id, id, 0, id, epoch, holder, now, log};
  out.authority = std::move(authority);
  return out;
}

Checked<LogState> append(LogState state, const std::vector<std::string>& caveats, const SignedEntry& entry,
                         const Trust& trust, uint64_t now) {
  TRY_DO(trust.check_revoked(state.authority.document.document));
  TRY(state.authority, extend(std::move(state.authority), caveats));
  TRY_DO(check_new_caveats(state.authority, state.head.authority, state.head.holder, state.head.sequence, trust, now));
  TRY_DO(check_next(entry, state.authority.digest(), state.authority.grants(), state.head, state.last_time, trust));
  if (entry.entry.time > now + kSkew) return refuse(Why::kTimeBackwards, "in the future");
  if (entry.envelope.signatures.size() != 2) return refuse(Why::kSignatureCount, "1, expected 2");
  TRY_DO(check_signatures(entry, trust));
  const Entry& e = entry.entry;
  state.last_time = e.time;
  state.head = Head{e.document, e.authority, e.sequence, entry.digest, e.epoch, e.destination, now, state.head.log};
  return state;
}

Checked<LogState> narrow(LogState state, const std::vector<std::string>& caveats, const Trust& trust, uint64_t now) {
  TRY(state.authority, extend(std::move(state.authority), caveats));
  TRY_DO(check_new_caveats(state.authority, state.head.authority, state.head.holder, state.head.sequence, trust, now));
  state.head.authority = state.authority.digest();
  return state;
}

namespace {

/// Entry `index` should have sequence index + 1. Says what became of it, if it hasn't.
Checked<void> check_sequence(const std::vector<SignedEntry>& entries, size_t index,
                             const std::unordered_map<uint64_t, size_t>& first) {
  const SignedEntry& e = entries[index];
  const uint64_t expected = index + 1;
  if (const auto seen = first.find(e.entry.sequence); seen->second < index) {
    return refuse(entries[seen->second].digest == e.digest ? Why::kReplayed : Why::kCloned, number_of(e));
  }
  if (e.entry.sequence == expected) return {};
  const std::string found = number_of(e) + " where " + std::to_string(expected) + " should be";
  return refuse(first.contains(expected) ? Why::kReordered : Why::kRemoved, found);
}

}  // namespace

Checked<void> audit(const Authority& authority, const std::vector<SignedEntry>& entries,
                    const std::optional<Head>& head, const Trust& trust) {
  std::unordered_map<uint64_t, size_t> first;
  for (size_t i = 0; i < entries.size(); ++i) first.try_emplace(entries[i].entry.sequence, i);
  const Digest id = authority.document.digest;
  Head at{id, id, 0, id, 0, entries.empty() ? "" : entries.front().entry.source, 0, ""};
  uint64_t last_time = 0;
  size_t last_position = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    const SignedEntry& e = entries[i];
    TRY_DO(check_sequence(entries, i, first));
    const auto where = position(authority, e.entry.authority);
    if (!where || *where < last_position) return refuse(Why::kCaveatsRemoved, number_of(e));
    last_position = *where;
    const Grants& grants =
        *where == 0 ? authority.document.document.grants : authority.caveats[*where - 1].caveat.grants;
    if (i > 0 && e.entry.epoch > at.epoch + 1) at.holder = e.entry.source;  // restored somewhere in between
    TRY_DO(check_next(e, e.entry.authority, grants, at, last_time, trust));
    TRY_DO(check_signatures(e, trust));
    last_time = e.entry.time;
    at = Head{id, e.entry.authority, e.entry.sequence, e.digest, e.entry.epoch, e.entry.destination, e.entry.time, ""};
  }
  for (const auto& c : authority.caveats) {
    TRY(const PublicKey key, trust.node(c.caveat.node));
    TRY_IN("caveat of " + c.caveat.node, c.envelope.check(0, key));
  }
  if (!head) return {};
  if (head->document != id) return refuse(Why::kOtherDocument, "the log's head");
  if (at.sequence < head->sequence) {
    return refuse(Why::kTruncated, std::to_string(at.sequence) + " of " + std::to_string(head->sequence));
  }
  if (at.sequence > head->sequence) return refuse(Why::kUnlogged, "the log has " + std::to_string(head->sequence));
  if (at.entry != head->entry) return refuse(Why::kCloned, "the log has another entry " + std::to_string(at.sequence));
  // A caveat of the present holder is in the head and in no entry yet.
  const auto where = position(authority, head->authority);
  if (!where || *where < last_position) return refuse(Why::kCaveatsRemoved, "the log's head");
  return {};
}

}  // namespace godwit::delegation
