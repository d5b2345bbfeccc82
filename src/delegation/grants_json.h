// Private to the module: grants as JSON.
#pragma once

#include "delegation/grants.h"
#include "delegation/json.h"

namespace godwit::delegation {

Json to_json(const Grants& grants);
/// Strict: every field, no other, each in its one form.
Checked<Grants> grants_of(const Json& json);

}  // namespace godwit::delegation
