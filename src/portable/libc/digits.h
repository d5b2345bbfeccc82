/* What musl's printf does with a long double, by its bits.
 *
 * Problem: printf of a double goes through long double, which is binary128 in this family and soft float on most processors: a
 * `%.3f` took 30 calls of it. Idea: musl only takes the number apart into digits of base 10^9, and each step of that is exact, so
 * integers give the same digits. vfprintf.sed puts these functions where musl computes. Numbers here are finite and not negative. */
#ifndef GODWIT_PORTABLE_DIGITS_H
#define GODWIT_PORTABLE_DIGITS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

struct long_double_bits {
  uint64_t low, high;
};

enum { kHighFraction = 48, kExponentBias = 16383, kExponentMask = 0x7fff };

static inline struct long_double_bits bits_of(long double y) {
  struct long_double_bits bits;
  memcpy(&bits, &y, sizeof bits);
  return bits;
}

static inline int is_zero(long double y) {
  const struct long_double_bits bits = bits_of(y);
  return (bits.low | bits.high << 1) == 0;
}

/* y = result · 2^*exponent, and 1 <= result < 2. Zero stays as it is. */
static inline long double normal(long double y, int* exponent) {
  struct long_double_bits bits = bits_of(y);
  const int biased = (int)(bits.high >> kHighFraction) & kExponentMask;
  *exponent = 0;
  if (is_zero(y)) return y;
  if (biased == 0) { /* subnormal */
    y = frexpl(y, exponent) * 2;
    --*exponent;
    return y;
  }
  *exponent = biased - kExponentBias;
  bits.high = (bits.high & ((UINT64_C(1) << kHighFraction) - 1)) | (uint64_t)kExponentBias << kHighFraction;
  memcpy(&y, &bits, sizeof y);
  return y;
}

/* The digits of base 10^9 of y · 2^28, from `to` on, where y is zero or 1 <= y < 2. Behind the last one that isn't zero. */
static inline uint32_t* first_digits(long double y, uint32_t* to) {
  const struct long_double_bits bits = bits_of(y);
  if (is_zero(y)) {
    *to++ = 0;
    return to;
  }
  /* Of 112 bits behind the point, 28 belong to the first digit; 20 and 64 are left. */
  enum { kHigh = kHighFraction - 28 };
  const uint64_t high_mask = (UINT64_C(1) << kHigh) - 1;
  *to++ = (uint32_t)(bits.high >> kHigh & ((1u << 28) - 1)) | 1u << 28;
  uint64_t high = bits.high & high_mask, low = bits.low;
  while (high | low) {
    const uint64_t lower = (low & 0xffffffff) * 1000000000;
    const uint64_t upper = (low >> 32) * 1000000000 + (lower >> 32);
    low = upper << 32 | (lower & 0xffffffff);
    high = high * 1000000000 + (upper >> 32);
    *to++ = (uint32_t)(high >> kHigh);
    high &= high_mask;
  }
  return to;
}

#endif
