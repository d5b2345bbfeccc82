/* Numbers in the memory of a portable program, in its image and in its description are little-endian on every architecture.
 *
 * Neutral code sees to that by itself (pass/adapt.cc). Who reads the same memory natively, the runtime, declares it with these
 * types: plain integers where the processor is little-endian, and on others a type that turns the bytes over when it is
 * read and written. C, and C++ as `Le<uint32_t>`; without any other include but <stdint.h>. */
/* NOLINTBEGIN(readability-identifier-naming): a C header. */
#ifndef GODWIT_PORTABLE_LITTLE_H
#define GODWIT_PORTABLE_LITTLE_H

#include <stdint.h>

#ifdef __cplusplus
namespace godwit::portable {

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
inline constexpr bool kBigEndian = true;

template <class T>
constexpr T turned(T value) {
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(static_cast<uint16_t>(value)));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(static_cast<uint32_t>(value)));
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(static_cast<uint64_t>(value)));
  return value;
}

/* A number whose bytes are turned over. */
template <class T>
class Turned {
 public:
  constexpr Turned() = default;
  constexpr Turned(T value) : raw_(turned(value)) {}
  constexpr operator T() const { return turned(raw_); }
  constexpr T operator+() const { return turned(raw_); }
  constexpr Turned& operator+=(T more) { return *this = static_cast<T>(*this + more); }
  constexpr Turned& operator-=(T less) { return *this = static_cast<T>(*this - less); }
  constexpr Turned& operator|=(T bits) { return *this = static_cast<T>(*this | bits); }
  constexpr Turned& operator&=(T bits) { return *this = static_cast<T>(*this & bits); }
  constexpr Turned& operator++() { return *this += 1; }
  constexpr T operator++(int) {
    const T before = *this;
    *this += 1;
    return before;
  }
  /* As it lies in memory, for atomic operations. */
  constexpr T& raw() { return raw_; }
  constexpr const T& raw() const { return raw_; }

 private:
  T raw_;
};

template <class T>
using Le = Turned<T>;
template <class T>
T& raw_of(Turned<T>& number) {
  return number.raw();
}
template <class T>
const T& raw_of(const Turned<T>& number) {
  return number.raw();
}
#else
inline constexpr bool kBigEndian = false;

template <class T>
constexpr T turned(T value) {
  return value;
}
template <class T>
using Le = T;
template <class T>
T& raw_of(T& number) {
  return number;
}
#endif

}  // namespace godwit::portable

typedef godwit::portable::Le<uint32_t> godwit_u32;
typedef godwit::portable::Le<uint64_t> godwit_u64;
#else
typedef uint32_t godwit_u32;
typedef uint64_t godwit_u64;
#endif

#endif
/* NOLINTEND(readability-identifier-naming) */
