// What a user writes to say what a document should allow: JSON, some of the fields of `grants`, in any order and form.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "delegation/document.h"

namespace godwit::delegation {

/// What a document allows about which nobody has said anything: everything, everywhere, 1000 handovers, a year.
Grants default_grants(uint64_t now);
/// The defaults with what `policy` says instead. Besides the fields of `grants` it may have "days", the validity from now
/// on. A misspelt field is an error: it would mean nothing, and the user believes that it forbids something.
Checked<Grants> grants_of_policy(std::string_view policy, uint64_t now);
/// What a node allows units that it has held, from then on (STATE/caveat.json): as above, but what isn't said is left as it is.
Checked<Grants> grants_of_caveat(std::string_view policy, uint64_t now);
/// A document for one instance; ids are random.
Document new_document(const PublicKey& issuer, const Digest& program, const Digest& arguments, Grants grants);

/// A document's content, as JSON with two blanks of indent: for people and programs.
std::string describe(const SignedDocument& document);

}  // namespace godwit::delegation
