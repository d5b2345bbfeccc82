// Private to the module: what admission, log and audit all check.
#pragma once

#include "delegation/trace.h"

namespace godwit::delegation {

/// Whether `entry` may follow `head` under `authority`: place in the list, link, holder, epoch, time, and what is allowed.
/// Signatures aren't looked at. `grants` are those that were in force.
Checked<void> check_next(const SignedEntry& entry, const Digest& authority, const Grants& grants, const Head& head,
                         uint64_t last_time, const Trust& trust);
/// Source's, and with two of them the destination's.
Checked<void> check_signatures(const SignedEntry& entry, const Trust& trust);
Checked<void> check_sites(const std::string& source, const std::string& destination, const Trust& trust);
/// Caveats behind the statement `known` were made by `holder` at `sequence`, and their signatures are good. Refuses a chain
/// in which `known` isn't.
Checked<void> check_new_caveats(const Authority& authority, const Digest& known, const std::string& holder,
                                uint64_t sequence, const Trust& trust, uint64_t now);

}  // namespace godwit::delegation
