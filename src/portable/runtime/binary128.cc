// Arithmetic with numbers of 128 bits (IEEE 754's binary128, long double of the neutral family) for armhf, whose compiler's library
// has none. The other processors have it in theirs, or in hardware. The names that LLVM calls are in binary128.S: it passes such a
// number in four registers, which C++ can't say.
//
// A number is taken apart into sign, exponent and a significand whose first bit is at kTop: 113 bits, and below them three more
// for rounding, the last of which is set when anything was lost further down. Then rounding to nearest, ties to even, is the same
// for all operations, and so is what happens at both ends of the exponents. No flags, one rounding mode (bits/fenv.h).
#if defined(__arm__)
#include <stdint.h>

namespace godwit::portable {
namespace {

using Bits = unsigned _BitInt(128);

constexpr int kExtra = 3;  ///< bits for rounding
constexpr int kDigits = 112;  ///< bits of a significand behind the first
constexpr int kTop = kDigits + kExtra;
constexpr int kBias = 16383;

struct Number {
  bool negative;
  int exponent;  ///< biased; may be too small or too large while it is computed
  Bits significand;  ///< zero: the number is zero
  bool infinite, nan;
};

Bits load(const uint64_t* words) { return static_cast<Bits>(words[1]) << 64 | words[0]; }

void store(uint64_t* words, Bits bits) {
  words[0] = static_cast<uint64_t>(bits);
  words[1] = static_cast<uint64_t>(bits >> 64);
}

/// What is shifted out stays as the lowest bit.
Bits shift_down(Bits bits, int by) {
  if (by <= 0) return bits;
  if (by >= 128) return bits != 0;
  const bool lost = (bits & ((static_cast<Bits>(1) << by) - 1)) != 0;
  return bits >> by | static_cast<Bits>(lost);
}

int highest(Bits bits) {
  const auto high = static_cast<uint64_t>(bits >> 64), low = static_cast<uint64_t>(bits);
  return high ? 127 - __builtin_clzll(high) : low ? 63 - __builtin_clzll(low) : -1;
}

/// The first bit to kTop.
void normalise(Number& n) {
  const int at = highest(n.significand);
  if (at < 0) return;
  if (at > kTop) n.significand = shift_down(n.significand, at - kTop);
  if (at < kTop) n.significand <<= kTop - at;
  n.exponent += at - kTop;
}

/// A format by its bits: those behind the first, and those of the exponent.
Number take_apart(Bits bits, int digits, int exponent_bits) {
  Number n = {};
  const int largest = (1 << exponent_bits) - 1;
  const Bits fraction = bits & ((static_cast<Bits>(1) << digits) - 1);
  const int exponent = static_cast<int>(bits >> digits) & largest;
  n.negative = static_cast<bool>(bits >> (digits + exponent_bits) & 1);
  n.infinite = exponent == largest && fraction == 0;
  n.nan = exponent == largest && fraction != 0;
  n.exponent = (exponent ? exponent : 1) - (largest >> 1) + kBias;
  n.significand = (exponent ? fraction | static_cast<Bits>(1) << digits : fraction) << (kTop - digits);
  normalise(n);
  return n;
}

Number take_apart(const uint64_t* words) { return take_apart(load(words), kDigits, 15); }

/// Rounds to a format.
Bits put_together(const Number& n, int digits, int exponent_bits) {
  const int largest = (1 << exponent_bits) - 1;
  const Bits sign = static_cast<Bits>(n.negative) << (digits + exponent_bits);
  const Bits infinity = static_cast<Bits>(static_cast<unsigned>(largest)) << digits;
  if (n.nan) return sign | infinity | static_cast<Bits>(1) << (digits - 1);
  if (n.infinite) return sign | infinity;
  if (n.significand == 0) return sign;
  int exponent = n.exponent - kBias + (largest >> 1);
  Bits significand = shift_down(n.significand, kDigits - digits);
  if (exponent < 1) {
    significand = shift_down(significand, 1 - exponent);
    exponent = 0;
  }
  const auto rest = static_cast<unsigned>(significand & 7);
  significand >>= kExtra;
  if (rest > 4 || (rest == 4 && (significand & 1))) ++significand;
  // The first bit, where there is one, adds to the exponent what was taken off here; so does a carry.
  if (exponent) --exponent;
  const Bits result =
      (static_cast<Bits>(static_cast<unsigned>(exponent < largest ? exponent : largest)) << digits) + significand;
  return sign | (result >= infinity ? infinity : result);
}

void give(uint64_t* result, const Number& n) { store(result, put_together(n, kDigits, 15)); }

Number no_number() { return {.negative = false, .exponent = 0, .significand = 0, .infinite = false, .nan = true}; }

Number sum(Number a, Number b) {
  if (a.nan || b.nan) return a.nan ? a : b;
  if (a.infinite || b.infinite) {
    if (a.infinite && b.infinite && a.negative != b.negative) return no_number();
    return a.infinite ? a : b;
  }
  if (a.significand == 0 || b.significand == 0) {
    if (a.significand == 0 && b.significand == 0) a.negative = a.negative && b.negative;
    return a.significand == 0 && b.significand != 0 ? b : a;
  }
  if (a.exponent < b.exponent || (a.exponent == b.exponent && a.significand < b.significand)) {
    const Number larger = b;
    b = a;
    a = larger;
  }
  b.significand = shift_down(b.significand, a.exponent - b.exponent);
  if (a.negative == b.negative) {
    a.significand += b.significand;
  } else {
    a.significand -= b.significand;
    if (a.significand == 0) a.negative = false;
  }
  normalise(a);
  return a;
}

Number product(const Number& a, const Number& b) {
  if (a.nan || b.nan) return a.nan ? a : b;
  Number n = {.negative = a.negative != b.negative, .exponent = 0, .significand = 0, .infinite = false, .nan = false};
  const bool zero = (!a.infinite && a.significand == 0) || (!b.infinite && b.significand == 0);
  if (a.infinite || b.infinite) {
    if (zero) return no_number();
    n.infinite = true;
    return n;
  }
  if (zero) return n;
  const Bits x = a.significand >> kExtra, y = b.significand >> kExtra;
  const auto x_low = static_cast<uint64_t>(x), x_high = static_cast<uint64_t>(x >> 64);
  const auto y_low = static_cast<uint64_t>(y), y_high = static_cast<uint64_t>(y >> 64);
  const Bits low = static_cast<Bits>(x_low) * y_low;
  const Bits middle = static_cast<Bits>(x_high) * y_low + (low >> 64);
  const Bits middle_too = static_cast<Bits>(x_low) * y_high + static_cast<uint64_t>(middle);
  const Bits high = static_cast<Bits>(x_high) * y_high + (middle >> 64) + (middle_too >> 64);
  const Bits rest = (middle_too << 64) | static_cast<uint64_t>(low);
  // The product's first bit is bit 224 or 225 of (high, rest): 96 or 97 of high.
  n.significand = (high << 20) | (rest >> 108);
  if ((rest << 20) != 0) n.significand |= 1;
  n.exponent = a.exponent + b.exponent - kBias + kTop - 116;
  normalise(n);
  return n;
}

Number quotient(const Number& a, const Number& b) {
  if (a.nan || b.nan) return a.nan ? a : b;
  Number n = {.negative = a.negative != b.negative, .exponent = 0, .significand = 0, .infinite = false, .nan = false};
  if (a.infinite || (!b.infinite && b.significand == 0)) {
    if (b.infinite || (!a.infinite && a.significand == 0)) return no_number();
    n.infinite = true;
    return n;
  }
  if (b.infinite || a.significand == 0) return n;
  Bits left = a.significand;
  for (int bit = kTop + 1; bit >= 0; --bit) {
    n.significand <<= 1;
    if (left >= b.significand) {
      left -= b.significand;
      n.significand |= 1;
    }
    left <<= 1;
  }
  if (left != 0) n.significand |= 1;
  n.exponent = a.exponent - b.exponent + kBias - 1;
  normalise(n);
  return n;
}

/// -1, 0, 1, or 2 when one isn't a number.
int compare(const uint64_t* one, const uint64_t* other) {
  const Number a = take_apart(one), b = take_apart(other);
  if (a.nan || b.nan) return 2;
  const bool a_zero = !a.infinite && a.significand == 0, b_zero = !b.infinite && b.significand == 0;
  if (a_zero && b_zero) return 0;
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  const Bits x = load(one), y = load(other);
  if (x == y) return 0;
  return (x < y) != a.negative ? -1 : 1;
}

/// The whole part without its sign, as far as it has `bits` bits.
uint64_t whole(const Number& n, int bits) {
  if (n.nan) return 0;
  const uint64_t most = bits == 64 ? ~UINT64_C(0) : (UINT64_C(1) << bits) - 1;
  const int power = n.exponent - kBias;
  if (n.infinite || (n.significand != 0 && power >= bits)) return most;
  if (n.significand == 0 || power < 0) return 0;
  return static_cast<uint64_t>(n.significand >> (kTop - power));
}

int64_t whole_signed(const uint64_t* words, int bits) {
  const Number n = take_apart(words);
  const uint64_t limit = UINT64_C(1) << (bits - 1);
  const uint64_t value = whole(n, bits);
  if (n.negative) return value >= limit ? -static_cast<int64_t>(limit - 1) - 1 : -static_cast<int64_t>(value);
  return static_cast<int64_t>(value >= limit ? limit - 1 : value);
}

void make(uint64_t* result, bool negative, uint64_t value) {
  Number n = {.negative = negative, .exponent = kBias + kTop, .significand = value, .infinite = false, .nan = false};
  normalise(n);
  give(result, n);
}

}  // namespace
}  // namespace godwit::portable

// Called by binary128.S.
extern "C" {
using namespace godwit::portable;

void godwit_tf_add(uint64_t* result, const uint64_t* a, const uint64_t* b) {
  give(result, sum(take_apart(a), take_apart(b)));
}
void godwit_tf_subtract(uint64_t* result, const uint64_t* a, const uint64_t* b) {
  Number minus = take_apart(b);
  if (!minus.nan) minus.negative = !minus.negative;
  give(result, sum(take_apart(a), minus));
}
void godwit_tf_multiply(uint64_t* result, const uint64_t* a, const uint64_t* b) {
  give(result, product(take_apart(a), take_apart(b)));
}
void godwit_tf_divide(uint64_t* result, const uint64_t* a, const uint64_t* b) {
  give(result, quotient(take_apart(a), take_apart(b)));
}
/// For ==, !=, < and <=: what isn't a number is neither equal nor less.
int godwit_tf_compare(const uint64_t* a, const uint64_t* b) { return compare(a, b); }
/// For > and >=.
int godwit_tf_compare_greater(const uint64_t* a, const uint64_t* b) {
  const int order = compare(a, b);
  return order == 2 ? -1 : order;
}
int godwit_tf_unordered(const uint64_t* a, const uint64_t* b) { return compare(a, b) == 2; }
int32_t godwit_tf_to_int(const uint64_t* a) { return static_cast<int32_t>(whole_signed(a, 32)); }
int64_t godwit_tf_to_long(const uint64_t* a) { return whole_signed(a, 64); }
uint32_t godwit_tf_to_unsigned(const uint64_t* a) {
  const Number n = take_apart(a);
  return n.negative ? 0 : static_cast<uint32_t>(whole(n, 32));
}
uint64_t godwit_tf_to_unsigned_long(const uint64_t* a) {
  const Number n = take_apart(a);
  return n.negative ? 0 : whole(n, 64);
}
double godwit_tf_to_double(const uint64_t* a) {
  return __builtin_bit_cast(double, static_cast<uint64_t>(put_together(take_apart(a), 52, 11)));
}
float godwit_tf_to_float(const uint64_t* a) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(put_together(take_apart(a), 23, 8)));
}
void godwit_tf_from_double(uint64_t* result, double value) {
  give(result, take_apart(__builtin_bit_cast(uint64_t, value), 52, 11));
}
void godwit_tf_from_float(uint64_t* result, float value) {
  give(result, take_apart(__builtin_bit_cast(uint32_t, value), 23, 8));
}
void godwit_tf_from_int(uint64_t* result, int32_t value) {
  make(result, value < 0, value < 0 ? 0 - static_cast<uint64_t>(int64_t{value}) : static_cast<uint64_t>(value));
}
void godwit_tf_from_unsigned(uint64_t* result, uint32_t value) { make(result, false, value); }
void godwit_tf_from_long(uint64_t* result, int64_t value) {
  make(result, value < 0, value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value));
}
void godwit_tf_from_unsigned_long(uint64_t* result, uint64_t value) { make(result, false, value); }
}
#endif
