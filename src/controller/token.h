// The tokens that prove an epoch.
//
// An epoch's token is an HMAC over (unit, epoch, node) with a key that only the store knows. A node that was given an
// epoch keeps its token; after a power cut of the controller's machine it can prove what it was given.
#pragma once

#include <cstdint>
#include <string>

namespace godwit::controller {

std::string epoch_token(const std::string& secret, const std::string& unit, uint64_t epoch, const std::string& node);
/// In constant time.
bool epoch_token_holds(const std::string& secret, const std::string& unit, uint64_t epoch, const std::string& node,
                       const std::string& token);

}  // namespace godwit::controller
