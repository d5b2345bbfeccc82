// Private to the module: what all kinds of statements share.
#pragma once

#include <string>
#include <string_view>

#include "delegation/envelope.h"
#include "delegation/json.h"

namespace godwit::delegation {

/// The canonical form of `payload`, signed.
Checked<Envelope> seal(std::string_view type, Json payload, const PrivateKey& key);
/// An envelope of this type with so many signatures, none of which is verified.
Checked<Envelope> open_envelope(std::string_view text, std::string_view type, size_t signatures);
/// The payload's fields, its version checked. `json` must outlive them.
Checked<Fields> open_payload(const Json& json, std::string what);
/// "site/node".
Checked<std::string> node_field(Fields& fields, std::string_view key);

}  // namespace godwit::delegation
