#include "delegation/refusal.h"

#include "base/check.h"

namespace godwit::delegation {
namespace {

constexpr Code kForm = Code::kCorrupt;
constexpr Code kNo = Code::kRefused;

constexpr Row kRows[] = {
    {Why::kTooLarge, "too-large", kForm, "more bytes than its kind may have", ""},
    {Why::kNotJson, "not-json", kForm, "not JSON in UTF-8, or bytes behind its end", ""},
    {Why::kTooDeep, "too-deep", kForm, "objects and arrays nested deeper than any that is written", ""},
    {Why::kDuplicateKey, "duplicate-key", kForm, "a key stands twice in one object", ""},
    {Why::kNotCanonical, "not-canonical", kForm, "the same content has another, canonical form", ""},
    {Why::kUnknownField, "unknown-field", kForm, "a field that this version doesn't know", "a newer Godwit"},
    {Why::kMissingField, "missing-field", kForm, "a field that must be there isn't", ""},
    {Why::kWrongType, "wrong-type", kForm, "a value of another JSON type than its field has", ""},
    {Why::kWrongVersion, "wrong-version", kForm, "a format version that isn't known here", "a newer Godwit"},
    {Why::kBadBase64, "bad-base64", kForm, "not base64 with padding, or not of the length it must have", ""},
    {Why::kBadDigest, "bad-digest", kForm, "not 64 lower-case hex digits (32 for an id or a nonce)", ""},
    {Why::kBadName, "bad-name", kForm, "not the name of a node or site", ""},
    {Why::kBadPath, "bad-path", kForm, "not an absolute path without '.', '..', empty parts and control characters",
     ""},
    {Why::kBadAddress, "bad-address", kForm, "not NETWORK/PREFIX LOW-HIGH in canonical form", ""},
    {Why::kBadWord, "bad-word", kForm, "not a word of the table it must be from", ""},
    {Why::kBadNumber, "bad-number", kForm, "a number that is negative, fractional or out of its range", ""},
    {Why::kTooMany, "too-many", kForm, "a list longer than its kind may be", ""},
    {Why::kNotSorted, "not-sorted", kForm, "a set whose members aren't in ascending order, or are there twice", ""},
    {Why::kBadTimes, "bad-times", kForm, "a validity that ends before it begins", ""},
    {Why::kWrongPayload, "wrong-payload", kForm, "a signed statement of another kind", ""},

    {Why::kSignatureCount, "signature-count", kForm, "more or fewer signatures than its kind has", ""},
    {Why::kUnknownKey, "unknown-key", kForm, "signed by another key than it says it is by", ""},
    {Why::kBadSignature, "bad-signature", kNo, "the signature isn't that key's over these bytes", ""},
    {Why::kUntrustedUser, "untrusted-user", kNo, "signed by a user whom this site doesn't know",
     "let the site's operator trust the key"},
    {Why::kUnknownNode, "unknown-node", kNo, "signed by a node whose key isn't known",
     "let the node join, or trust its site"},
    {Why::kUnknownLog, "unknown-log", kNo, "a head that no trusted log has signed", "trust the site whose log it is"},

    {Why::kNoDocument, "no-document", kNo, "a unit without a document doesn't leave its site",
     "godwit key new, and run it anew"},
    {Why::kWrongInstance, "wrong-instance", kNo, "signed for another instance", "sign a document for this one"},
    {Why::kWrongProgram, "wrong-program", kNo, "signed for a program with other bytes",
     "sign a document for this one; without one: godwit run --no-delegation"},
    {Why::kWrongArguments, "wrong-arguments", kNo, "signed for other arguments", "sign a document for these"},
    {Why::kForbiddenOperation, "forbidden-operation", kNo, "an operation that isn't allowed",
     "a document that allows it"},
    {Why::kForbiddenNode, "forbidden-node", kNo, "a node that isn't trusted, or is named as untrusted",
     "choose another node"},
    {Why::kForbiddenSite, "forbidden-site", kNo, "a site that isn't trusted, or is named as untrusted",
     "choose a node of another site"},
    {Why::kUntrustedSite, "untrusted-site", kNo, "one of the two sites doesn't trust the other",
     "godwit site trust, at both"},
    {Why::kNotYetValid, "not-yet-valid", kNo, "before its validity begins", "wait, or look at the clocks"},
    {Why::kExpired, "expired", kNo, "after its validity has ended", "sign a new document"},
    {Why::kOverLimit, "over-limit", kNo, "one more handover than is allowed", "a document that allows more"},
    {Why::kRevoked, "revoked", kNo, "the user has revoked it", "sign a new document"},
    {Why::kUnknownFact, "unknown-fact", kNo, "a condition on something that isn't known here", ""},
    {Why::kUnmetCondition, "unmet-condition", kNo, "a condition of the user's doesn't hold", "wait until it does"},
    {Why::kTooFewResources, "too-few-resources", kNo, "the unit has more than the document lets it have",
     "a document that allows more"},

    {Why::kBrokenCaveats, "broken-caveats", kForm, "a caveat that doesn't follow the one before it", ""},
    {Why::kWidened, "widened", kNo, "a caveat allows what was not allowed before it", ""},
    {Why::kCaveatsRemoved, "caveats-removed", kNo,
     "caveats that the trace list speaks of are missing, or others are there", ""},

    {Why::kOtherDocument, "other-document", kNo, "it belongs to another document", ""},
    {Why::kRemoved, "removed", kNo, "an entry of the trace list is missing", ""},
    {Why::kReordered, "reordered", kNo, "entries of the trace list are in another order", ""},
    {Why::kReplayed, "replayed", kNo, "the same once more", ""},
    {Why::kCloned, "cloned", kNo, "a second one where there can be only one", ""},
    {Why::kTruncated, "truncated", kNo, "the trace list ends before the log does", ""},
    {Why::kRolledBack, "rolled-back", kNo, "an older epoch than one that is known", ""},
    {Why::kUnlogged, "unlogged", kNo, "further than the log, which has not seen it", ""},
    {Why::kStaleHead, "stale-head", kNo, "a head that is older than a head may be", "ask the log for a new one"},
    {Why::kBrokenLink, "broken-link", kNo, "the entry before it is another than the one it names", ""},
    {Why::kNotTheHolder, "not-the-holder", kNo, "handed over by somebody who doesn't have it", ""},
    {Why::kOtherDestination, "other-destination", kNo, "handed over to somebody else", ""},
    {Why::kOtherEpoch, "other-epoch", kNo, "for another epoch than the move's", ""},
    {Why::kTimeBackwards, "time-backwards", kNo, "earlier than what came before it, or in the future",
     "look at the clocks"},
    {Why::kWrongNonce, "wrong-nonce", kNo, "an answer to another question", ""},
    {Why::kAlteredState, "altered-state", kNo, "the state is another than the one that was signed", ""},
};

}  // namespace

std::span<const Row> refusals() { return kRows; }

const Row& row_of(Why why) {
  const auto index = static_cast<size_t>(why);
  GODWIT_CHECK(index < std::size(kRows) && kRows[index].why == why, "the rows are in the order of Why");
  return kRows[index];
}

const Row* row_of(std::string_view code) {
  for (const Row& row : kRows)
    if (row.code == code) return &row;
  return nullptr;
}

Error Refusal::error() const {
  const Row& row = row_of(why);
  return Error{row.kind, 0,
               std::string(row.code) + ": " + std::string(row.what) + (detail.empty() ? "" : " (" + detail + ")")};
}

}  // namespace godwit::delegation
