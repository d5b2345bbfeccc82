// The key of the user who calls: where it lies, and what it signs.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "delegation/delegation.h"

namespace godwit::cli {

/// `given` (an option), else GODWIT_KEY, else XDG_CONFIG_HOME/godwit/user.key, else ~/.config/godwit/user.key.
std::string user_key_path(const std::string& given);
/// The same of the key that opens encrypted images: GODWIT_SEAL_KEY, and seal.key in those folders.
std::string seal_key_path(const std::string& given);
/// Refused, with what to do, when there is none.
Result<delegation::PrivateKey> user_key(const std::string& given);
/// The public key of a private key's file, or of a .pub file.
Result<delegation::PublicKey> public_key_at(const std::string& path);
/// Seconds since 1970.
uint64_t seconds_now();
/// A document for this command, signed: `policy` is a file, or empty.
Result<delegation::Envelope> new_delegation(const delegation::PrivateKey& key, const std::vector<std::string>& argv,
                                            const std::string& cwd, const std::string& policy);

}  // namespace godwit::cli
