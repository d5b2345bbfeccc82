// The order of the checks is the order of what they cost an enemy: sizes, then whether the user is known at all, then one
// signature, then everything that is read from what it covers. trace.cc says why these are enough.
#include "delegation/admission.h"

#include "delegation/checks.h"
#include "delegation/statement.h"

namespace godwit::delegation {
namespace {

Checked<SignedDocument> read_trusted(const std::string& text, const Trust& trust) {
  if (text.empty()) return refuse(Why::kNoDocument, "nothing is shown");
  SignedDocument out;
  TRY(out.envelope, open_envelope(text, kDocumentType, 1));
  const auto user = trust.users.find(out.envelope.signatures.front().key_id);
  if (user == trust.users.end()) return refuse(Why::kUntrustedUser, out.envelope.signatures.front().key_id);
  TRY_DO(out.envelope.check(0, user->second));
  TRY(out.document, Document::parse(out.envelope.payload));
  if (out.document.issuer != user->second) return refuse(Why::kUnknownKey, "the document names another issuer");
  out.digest = out.envelope.digest();
  return out;
}

Checked<void> check_subject(const Document& document, const Question& question) {
  if (!question.instance.empty() && question.instance != document.instance) {
    return refuse(Why::kWrongInstance, document.instance);
  }
  if (question.program && *question.program != document.program) {
    return refuse(Why::kWrongProgram, question.program->hex());
  }
  if (question.arguments && *question.arguments != document.arguments) {
    return refuse(Why::kWrongArguments, question.arguments->hex());
  }
  return {};
}

Checked<void> check_grants(const Grants& grants, const Question& question, const Trust& trust) {
  if (!grants.allows(question.operation)) return refuse(Why::kForbiddenOperation, question.operation);
  TRY_DO(grants.check_time(question.now));
  TRY_DO(grants.check_place(site_of(question.destination), node_of(question.destination)));
  if (!question.source.empty()) {
    TRY_DO(grants.check_place(site_of(question.source), node_of(question.source)));
    TRY_DO(check_sites(question.source, question.destination, trust));
  }
  return {};
}

Checked<Head> check_head(const Offer& offer, const Authority& authority, const Question& question, const Trust& trust) {
  TRY(const SignedHead signed_head, read_head(offer.head));
  const Head& head = signed_head.head;
  const auto log = trust.logs.find(head.log);
  if (log == trust.logs.end()) return refuse(Why::kUnknownLog, head.log);
  TRY_DO(signed_head.envelope.check(0, log->second));
  if (head.document != authority.document.digest) return refuse(Why::kOtherDocument, "the log's head");
  if (head.time + kHeadAge < question.now) return refuse(Why::kStaleHead, std::to_string(head.time));
  if (head.time > question.now + kSkew) return refuse(Why::kTimeBackwards, "the log's head");
  if (question.known) {
    const Known& known = *question.known;
    if (head.sequence < known.sequence || head.epoch < known.epoch) {
      return refuse(Why::kRolledBack, "handover " + std::to_string(head.sequence) + ", this node knows of " +
                                          std::to_string(known.sequence));
    }
    if (head.sequence == known.sequence && head.entry != known.entry) {
      return refuse(Why::kCloned, "handover " + std::to_string(head.sequence));
    }
  }
  if (head.holder != question.source) {
    return refuse(Why::kNotTheHolder, question.source + ", it is at " + head.holder);
  }
  return head;
}

/// The entry that the head speaks of; its time, or 0 when there is none.
Checked<uint64_t> check_last(const Offer& offer, const Head& head, const Trust& trust) {
  if (offer.last.empty()) {
    if (head.sequence != 0) return refuse(Why::kTruncated, "0 of " + std::to_string(head.sequence));
    if (head.entry != head.document) return refuse(Why::kBrokenLink, "a head without entries");
    return 0;
  }
  TRY(const SignedEntry last, read_entry(offer.last, 2));
  const Entry& e = last.entry;
  if (e.document != head.document) return refuse(Why::kOtherDocument, "the last entry");
  if (e.sequence < head.sequence) {
    return refuse(Why::kTruncated, std::to_string(e.sequence) + " of " + std::to_string(head.sequence));
  }
  if (e.sequence > head.sequence) return refuse(Why::kUnlogged, "the log has " + std::to_string(head.sequence));
  if (last.digest != head.entry) return refuse(Why::kCloned, "handover " + std::to_string(e.sequence));
  // The log can move a holder by itself, in a later epoch only: a restore.
  if (e.destination != head.holder && head.epoch <= e.epoch) return refuse(Why::kNotTheHolder, head.holder);
  TRY_DO(check_signatures(last, trust));
  return e.time;
}

}  // namespace

Checked<Admission> admit(const Offer& offer, const Question& question, const Trust& trust) {
  size_t size = offer.document.size() + offer.head.size() + offer.last.size();
  for (const auto& c : offer.caveats) size += c.size();
  if (size > kMaxOffer) return refuse(Why::kTooLarge, std::to_string(size) + " bytes");
  TRY(SignedDocument document, read_trusted(offer.document, trust));
  TRY_DO(check_subject(document.document, question));
  TRY_DO(trust.check_revoked(document.document));
  Admission out;
  TRY(out.authority, chain(std::move(document), offer.caveats));
  TRY_DO(check_grants(out.authority.grants(), question, trust));
  const Digest id = out.authority.document.digest;
  if (question.source.empty()) {
    out.head = Head{id, id, 0, id, 0, question.destination, question.now, ""};
    if (!offer.head.empty() || !offer.last.empty() || !offer.caveats.empty()) {
      return refuse(Why::kUnlogged, "a unit that starts here has no history");
    }
  } else {
    TRY(out.head, check_head(offer, out.authority, question, trust));
    TRY_DO(
        check_new_caveats(out.authority, out.head.authority, out.head.holder, out.head.sequence, trust, question.now));
    TRY(out.last_time, check_last(offer, out.head, trust));
    if (question.operation == kMigrate && out.head.sequence + 1 > out.authority.grants().handovers) {
      return refuse(Why::kOverLimit, std::to_string(out.head.sequence + 1) + ", at most " +
                                         std::to_string(out.authority.grants().handovers));
    }
  }
  Facts facts = question.facts;
  facts["handovers"] = out.head.sequence;
  TRY_DO(out.authority.grants().check_facts(facts));
  return out;
}

Checked<Admission> add_caveats(Admission admission, const std::vector<std::string>& caveats,
                               const std::string& destination, const Trust& trust, uint64_t now) {
  if (caveats.empty()) return admission;
  const Digest known = admission.authority.digest();
  TRY(admission.authority, extend(std::move(admission.authority), caveats));
  TRY_DO(check_new_caveats(admission.authority, known, admission.head.holder, admission.head.sequence, trust, now));
  const Grants& grants = admission.authority.grants();
  TRY_DO(grants.check_time(now));
  TRY_DO(grants.check_place(site_of(destination), node_of(destination)));
  return admission;
}

Entry next_entry(const Authority& authority, const Head& head, const std::string& destination, uint64_t epoch,
                 const Digest& state, const std::string& nonce, uint64_t now) {
  return Entry{head.document, authority.digest(), head.sequence + 1, head.entry, epoch,
               state,         head.holder,        destination,       now,        nonce};
}

Checked<SignedEntry> accept(const Admission& admission, std::string_view text, const Arrival& arrival,
                            const Trust& trust, uint64_t now) {
  TRY(SignedEntry out, read_entry(text, 1));
  const Authority& authority = admission.authority;
  TRY_DO(check_next(out, authority.digest(), authority.grants(), admission.head, admission.last_time, trust));
  const Entry& e = out.entry;
  if (e.destination != arrival.destination) return refuse(Why::kOtherDestination, e.destination);
  if (e.epoch != arrival.epoch) return refuse(Why::kOtherEpoch, std::to_string(e.epoch));
  if (e.nonce != arrival.nonce) return refuse(Why::kWrongNonce, e.nonce);
  if (e.time > now + kSkew || e.time + kHeadAge < now) return refuse(Why::kTimeBackwards, std::to_string(e.time));
  TRY_DO(check_signatures(out, trust));
  if (e.state != arrival.state) {
    return refuse(Why::kAlteredState, arrival.state.hex() + " came, " + e.state.hex() + " was signed");
  }
  return out;
}

}  // namespace godwit::delegation
