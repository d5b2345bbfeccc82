// XXH64, as xxHash defines it (doc/xxhash_spec.md there): the checksum of an image's records. Against accidents, not against
// malice; who must trust an image signs it.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace godwit::portable {

uint64_t xxh64(const void* bytes, size_t size, uint64_t seed);

}  // namespace godwit::portable
