// memcpy, memmove, memset, memcmp: what the compiler calls by itself, and what the neutral C library takes from here.
//
// Small sizes are the usual case, so each has a few loads from both ends that overlap in the middle, and no loop. All loads
// come before all stores, which makes the same code right for memmove. Vectors are the compiler's own type of 16 bytes, not
// intrinsics: one source for x86-64, aarch64 and s390x. A riscv64 processor may trap (and emulate) each access that isn't aligned,
// so there words are used only where both ends agree.
#include <stddef.h>
#include <stdint.h>

namespace {

using Byte = unsigned char;

template <class T>
T load(const Byte* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
void store(Byte* to, T value) {
  __builtin_memcpy(to, &value, sizeof value);
}

/// With its first byte as the highest one, as memory is compared.
uint64_t first_highest(uint64_t word) {
  return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? word : __builtin_bswap64(word);
}

#if defined(__riscv)

constexpr bool kWordsAnywhere = false;

void copy_up(Byte* to, const Byte* from, size_t size) {
  if (size >= 16 && ((reinterpret_cast<uintptr_t>(to) ^ reinterpret_cast<uintptr_t>(from)) & 7) == 0) {
    while (reinterpret_cast<uintptr_t>(to) & 7) *to++ = *from++, --size;
    auto* to_words = reinterpret_cast<uint64_t*>(to);
    auto* from_words = reinterpret_cast<const uint64_t*>(from);
    for (; size >= 32; size -= 32, to_words += 4, from_words += 4) {
      const uint64_t a = from_words[0], b = from_words[1], c = from_words[2], d = from_words[3];
      to_words[0] = a, to_words[1] = b, to_words[2] = c, to_words[3] = d;
    }
    for (; size >= 8; size -= 8) *to_words++ = *from_words++;
    to = reinterpret_cast<Byte*>(to_words);
    from = reinterpret_cast<const Byte*>(from_words);
  }
  while (size--) *to++ = *from++;
}

void copy_down(Byte* to, const Byte* from, size_t size) {
  if (size >= 16 && ((reinterpret_cast<uintptr_t>(to) ^ reinterpret_cast<uintptr_t>(from)) & 7) == 0) {
    while (reinterpret_cast<uintptr_t>(to + size) & 7) --size, to[size] = from[size];
    for (; size >= 8; size -= 8) {
      *reinterpret_cast<uint64_t*>(to + size - 8) = *reinterpret_cast<const uint64_t*>(from + size - 8);
    }
  }
  while (size--) to[size] = from[size];
}

void copy(Byte* to, const Byte* from, size_t size) { copy_up(to, from, size); }

void fill(Byte* to, Byte value, size_t size) {
  if (size >= 16) {
    const uint64_t word = 0x0101010101010101u * value;
    while (reinterpret_cast<uintptr_t>(to) & 7) *to++ = value, --size;
    auto* words = reinterpret_cast<uint64_t*>(to);
    for (; size >= 32; size -= 32, words += 4) words[0] = word, words[1] = word, words[2] = word, words[3] = word;
    for (; size >= 8; size -= 8) *words++ = word;
    to = reinterpret_cast<Byte*>(words);
  }
  while (size--) *to++ = value;
}

#else

constexpr bool kWordsAnywhere = true;

using Vector = uint8_t __attribute__((vector_size(16)));

#if defined(__x86_64__)
/// From where on the x86 string instructions, which take a while to begin, win over the loop.
constexpr size_t kString = 2048;
#endif

template <class T>
void both_ends(Byte* to, const Byte* from, size_t size) {
  const T first = load<T>(from);
  const T last = load<T>(from + size - sizeof(T));
  store(to, first);
  store(to + size - sizeof(T), last);
}

/// Up to 64 bytes, which may overlap.
void copy_small(Byte* to, const Byte* from, size_t size) {
  if (size >= 32) {
    const auto a = load<Vector>(from), b = load<Vector>(from + 16);
    const auto c = load<Vector>(from + size - 32), d = load<Vector>(from + size - 16);
    store(to, a), store(to + 16, b);
    store(to + size - 32, c), store(to + size - 16, d);
  } else if (size >= 16) {
    both_ends<Vector>(to, from, size);
  } else if (size >= 8) {
    both_ends<uint64_t>(to, from, size);
  } else if (size >= 4) {
    both_ends<uint32_t>(to, from, size);
  } else if (size >= 2) {
    both_ends<uint16_t>(to, from, size);
  } else if (size) {
    *to = *from;
  }
}

struct Block {
  Vector a, b, c, d;
};

Block load_block(const Byte* from) {
  return {load<Vector>(from), load<Vector>(from + 16), load<Vector>(from + 32), load<Vector>(from + 48)};
}

void store_block(Byte* to, const Block& block) {
  store(to, block.a), store(to + 16, block.b), store(to + 32, block.c), store(to + 48, block.d);
}

void copy_up(Byte* to, const Byte* from, size_t size) {
  if (size <= 64) return copy_small(to, from, size);
  const Block last = load_block(from + size - 64);  // the loop may write over it
  Byte* const end = to + size - 64;
  for (; to < end; to += 64, from += 64) store_block(to, load_block(from));
  store_block(end, last);
}

void copy_down(Byte* to, const Byte* from, size_t size) {
  if (size <= 64) return copy_small(to, from, size);
  const Block first = load_block(from);
  for (Byte* end = to + size; end > to + 64; end -= 64) {
    const size_t at = static_cast<size_t>(end - to) - 64;
    store_block(to + at, load_block(from + at));
  }
  store_block(to, first);
}

void copy(Byte* to, const Byte* from, size_t size) {
#if defined(__x86_64__)
  if (size >= kString) {
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return;
  }
#endif
  copy_up(to, from, size);
}

void fill(Byte* to, Byte value, size_t size) {
  const uint64_t word = 0x0101010101010101u * value;
  if (size < 16) {
    if (size >= 8) {
      store(to, word), store(to + size - 8, word);
    } else if (size >= 4) {
      store(to, static_cast<uint32_t>(word)), store(to + size - 4, static_cast<uint32_t>(word));
    } else {
      while (size--) to[size] = value;
    }
    return;
  }
#if defined(__x86_64__)
  if (size >= kString) {
    asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return;
  }
#endif
  const auto vector = Vector{} + value;
  Byte* const end = to + size - 16;
  for (; to < end; to += 16) store(to, vector);
  store(end, vector);
}

#endif

}  // namespace

extern "C" {

void* memcpy(void* __restrict to, const void* __restrict from, size_t size) {
  copy(static_cast<Byte*>(to), static_cast<const Byte*>(from), size);
  return to;
}

void* memmove(void* to, const void* from, size_t size) {
  auto* target = static_cast<Byte*>(to);
  auto* source = static_cast<const Byte*>(from);
  if (static_cast<size_t>(target - source) >= size) {
    copy_up(target, source, size);
  } else {
    copy_down(target, source, size);
  }
  return to;
}

void* memset(void* to, int value, size_t size) {
  fill(static_cast<Byte*>(to), static_cast<Byte>(value), size);
  return to;
}

int memcmp(const void* one, const void* other, size_t size) {
  auto* a = static_cast<const Byte*>(one);
  auto* b = static_cast<const Byte*>(other);
  if (kWordsAnywhere || ((reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b)) & 7) == 0) {
    for (; size >= 8; size -= 8, a += 8, b += 8) {
      const auto x = load<uint64_t>(a), y = load<uint64_t>(b);
      if (x != y) return first_highest(x) < first_highest(y) ? -1 : 1;
    }
  }
  for (; size; --size, ++a, ++b) {
    if (*a != *b) return *a - *b;
  }
  return 0;
}
}
