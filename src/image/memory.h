// The table of memory: its columns, and what happens when a page was sent more than once. Private to the module.
#pragma once

#include "image/manifest.h"

namespace godwit::proto::image {
class Memory;
}

namespace godwit::image {

void encode_memory(const Memory& memory, proto::image::Memory& out);
Result<void> decode_memory(const proto::image::Memory& in, Memory& out);

/// Checks the numbers of an extent (`block` counts 4096 bytes); whether it lies inside its pack is checked elsewhere.
Result<Extent> make_extent(uint32_t pack, uint64_t block, uint64_t length, uint32_t stored);

/// Makes every page come from its newest mention only. `record_age[i]` and `zero_age[i]` say when a record or zero run
/// was written (larger is newer); mentions of one age don't overlap, except that holes win over pages of their age.
/// Replaced parts of records become runs of space kReplaced; records in a chunk store that are wholly replaced go. With
/// `wanted`, so does every page outside those runs (which are in any order): it was unmapped after it had been written.
void settle(Memory& memory, const std::vector<uint32_t>& record_age, const std::vector<uint32_t>& zero_age,
            const std::vector<engine::PageRun>& wanted);

}  // namespace godwit::image
