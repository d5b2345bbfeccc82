// What a unit may do at this node: what its document and the caveats since leave of it, and the node's own word on top.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "delegation/document.h"

namespace godwit::delegation {

/// STATE/caveat.json: a policy like that of `godwit delegation new`. Nothing when it isn't there.
Result<std::optional<Grants>> load_wish(const std::string& state_dir);

/// What is left. The document's signature is verified, and that each caveat follows and narrows the one before it; who signed the
/// caveats isn't looked at: whoever makes one up takes something away.
Checked<Grants> allowance(std::string_view document, std::span<const std::string> caveats,
                          const std::optional<Grants>& wish);

}  // namespace godwit::delegation
