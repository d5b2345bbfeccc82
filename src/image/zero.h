// Is this page zero? Private to the module.
#pragma once

#include <cstdint>
#include <cstring>

#include "image/limits.h"

namespace godwit::image {

/// Leaves after the first 64 bytes that are not zero; the inner loop is one the compiler turns into vector code.
inline bool is_zero_page(const std::byte* page) {
  for (size_t at = 0; at < kPageBytes; at += 64) {
    uint64_t words[8];
    std::memcpy(words, page + at, sizeof words);
    uint64_t any = 0;
    for (const uint64_t word : words) any |= word;
    if (any != 0) return false;
  }
  return true;
}

}  // namespace godwit::image
