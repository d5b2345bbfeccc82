// The one table of reasons for which a document, a trace or an admission is refused.
//
// To add a row: a Why here, its row in refusal.cc, a vector under tests/vectors/delegation that ends in it (a test says
// which rows have none), and the table of docs/formats/delegation.md, which a test compares with this one.
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace godwit::delegation {

enum class Why {
  // the form of bytes
  kTooLarge,
  kNotJson,
  kTooDeep,
  kDuplicateKey,
  kNotCanonical,
  kUnknownField,
  kMissingField,
  kWrongType,
  kWrongVersion,
  kBadBase64,
  kBadDigest,
  kBadName,
  kBadPath,
  kBadAddress,
  kBadWord,
  kBadNumber,
  kTooMany,
  kNotSorted,
  kBadTimes,
  kWrongPayload,
  // signatures
  kSignatureCount,
  kUnknownKey,
  kBadSignature,
  kUntrustedUser,
  kUnknownNode,
  kUnknownLog,
  // what the user signed
  kNoDocument,
  kWrongInstance,
  kWrongProgram,
  kWrongArguments,
  kForbiddenOperation,
  kForbiddenNode,
  kForbiddenSite,
  kUntrustedSite,
  kNotYetValid,
  kExpired,
  kOverLimit,
  kRevoked,
  kUnknownFact,
  kUnmetCondition,
  kTooFewResources,
  // attenuation
  kBrokenCaveats,
  kWidened,
  kCaveatsRemoved,
  // the trace list
  kOtherDocument,
  kRemoved,
  kReordered,
  kReplayed,
  kCloned,
  kTruncated,
  kRolledBack,
  kUnlogged,
  kStaleHead,
  kBrokenLink,
  kNotTheHolder,
  kOtherDestination,
  kOtherEpoch,
  kTimeBackwards,
  kWrongNonce,
  kAlteredState,
};

struct Row {
  Why why;
  std::string_view code;  ///< stable: in --json output, in vectors, on the wire
  Code kind;  ///< kCorrupt: it can't be what it claims; kRefused: somebody forbids it
  std::string_view what;
  std::string_view lift;  ///< empty: nothing that the reader can do
};
std::span<const Row> refusals();
const Row& row_of(Why why);
/// For a code that came from elsewhere; null when there is none such.
const Row* row_of(std::string_view code);

/// Why it is refused, and what exactly was found.
struct Refusal {
  Why why = Why::kNotJson;
  std::string detail;

  [[nodiscard]] std::string_view code() const { return row_of(why).code; }
  /// As the rest of the system says it: "expired: it was valid until …".
  [[nodiscard]] Error error() const;
  [[nodiscard]] Refusal in(std::string_view where) const { return {why, std::string(where) + ": " + detail}; }
  bool operator==(const Refusal&) const = default;
};

/// Like Result, with a row of the table instead of a Code: TRY works with both, but doesn't mix them.
template <typename T = void>
using Checked = std::expected<T, Refusal>;

inline std::unexpected<Refusal> refuse(Why why, std::string detail) {
  return std::unexpected(Refusal{why, std::move(detail)});
}
/// A Checked as a Result, for those who only pass it on.
template <typename T>
Result<T> to_result(Checked<T> checked) {
  if (!checked) return std::unexpected(checked.error().error());
  if constexpr (std::is_void_v<T>)
    return {};
  else
    return *std::move(checked);
}

}  // namespace godwit::delegation
