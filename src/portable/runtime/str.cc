// strlen, memchr, strchr, strcmp: searches for a byte, natively.
//
// They are called everywhere, stop nowhere and keep nothing, so they need no neutral form; and a vector is worth most here. An
// aligned block of 16 bytes lies in one page, so it may be read whole when one of its bytes may be: what was read
// too much is masked off. A block is compared as a vector; where a byte matched, its 8 bits are ones in one of the two
// halves, and the lowest of them tells the place; on a big-endian processor the highest. x86_64 has an instruction that makes one
// bit of each byte.
//
// riscv64 has no vectors here: the same by words, by the test for a zero byte that everybody uses
// ((w - 0x01…01) & ~w & 0x80…80; Alan Mycroft, 1987), which is exact for the lowest one.
#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

#if defined(__riscv)
using Block = uint64_t;
constexpr uint64_t kOnes = 0x0101010101010101;

struct Hits {
  uint64_t bits;
  explicit operator bool() const { return bits != 0; }
  uint64_t first() const { return static_cast<uint64_t>(__builtin_ctzll(bits)) / 8; }
  Hits from(uint64_t skip) const { return {bits >> 8 * skip << 8 * skip}; }
};
inline Block all_of(unsigned char byte) { return kOnes * byte; }
inline Hits equal(Block block, Block bytes) {
  const uint64_t difference = block ^ bytes;
  // Exact in every byte: the shorter test may also report a 1 that follows a hit.
  constexpr uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  return {~(((difference & kLow) + kLow) | difference | kLow)};
}
inline Hits either(Hits a, Hits b) { return {a.bits | b.bits}; }
#elif defined(__x86_64__)
using Block = unsigned char __attribute__((vector_size(16)));

struct Hits {
  uint32_t bits;
  explicit operator bool() const { return bits != 0; }
  uint64_t first() const { return static_cast<uint64_t>(__builtin_ctz(bits)); }
  Hits from(uint64_t skip) const { return {bits >> skip << skip}; }
};
inline Block all_of(unsigned char byte) { return Block{} + byte; }
inline Hits one_bit_each(Block matches) {
  using Signed = char __attribute__((vector_size(16)));
  return {static_cast<uint32_t>(__builtin_ia32_pmovmskb128(reinterpret_cast<Signed>(matches)))};
}
inline Hits equal(Block block, Block bytes) { return one_bit_each(reinterpret_cast<Block>(block == bytes)); }
inline Hits either(Hits a, Hits b) { return {a.bits | b.bits}; }
#else
using Block = unsigned char __attribute__((vector_size(16)));

struct Hits {
  uint64_t low, high;
  explicit operator bool() const { return (low | high) != 0; }
  uint64_t first() const { return low ? first_of(low) : 8 + first_of(high); }
  Hits from(uint64_t skip) const {
    if (skip >= 8) return {0, without(high, skip - 8)};
    return {without(low, skip), high};
  }
  static uint64_t first_of(uint64_t half) {
    return static_cast<uint64_t>(kBigEndian ? __builtin_clzll(half) : __builtin_ctzll(half)) / 8;
  }
  static uint64_t without(uint64_t half, uint64_t skip) {
    return kBigEndian ? half << 8 * skip >> 8 * skip : half >> 8 * skip << 8 * skip;
  }
};
inline Block all_of(unsigned char byte) { return Block{} + byte; }
inline Hits equal(Block block, Block bytes) {
  using Halves = uint64_t __attribute__((vector_size(16)));
  const auto halves = reinterpret_cast<Halves>(block == bytes);
  return {halves[0], halves[1]};
}
inline Hits either(Hits a, Hits b) { return {a.low | b.low, a.high | b.high}; }
#endif

constexpr uint64_t kBlock = sizeof(Block);

/// Walks over the aligned blocks that hold `text` and what follows.
class Blocks {
 public:
  explicit Blocks(const void* text)
      : at_(reinterpret_cast<uint64_t>(text) & ~(kBlock - 1)), skip_(reinterpret_cast<uint64_t>(text) & (kBlock - 1)) {}
  [[nodiscard]] Block block() const { return *reinterpret_cast<const Block*>(at_); }
  [[nodiscard]] uint64_t address() const { return at_; }
  [[nodiscard]] uint64_t skip() const { return skip_; }  ///< bytes of this block before the text
  void next() {
    at_ += kBlock;
    skip_ = 0;
  }

 private:
  uint64_t at_, skip_;
};

/// How many bytes of both lie before the end of a page.
inline uint64_t room_of(const unsigned char* a, const unsigned char* b) {
  const auto left = [](const unsigned char* p) {
    return GODWIT_PAGE - (reinterpret_cast<uint64_t>(p) & (GODWIT_PAGE - 1));
  };
  return left(a) < left(b) ? left(a) : left(b);
}

/// May a block be loaded from there?
inline bool is_inside_page(const unsigned char* from) {
  return (reinterpret_cast<uint64_t>(from) & (GODWIT_PAGE - 1)) <= GODWIT_PAGE - kBlock;
}

inline Block load(const unsigned char* from) {
  Block block;
  __builtin_memcpy(&block, from, sizeof block);
  return block;
}

/// Where a string ends, or differs from another.
inline Hits end_or_difference(Block a, Block b) {
#if defined(__riscv)
  const uint64_t difference = a ^ b;
  // Any bit of a byte that differs makes its highest one.
  constexpr uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  return either(equal(a, 0), {(((difference & kLow) + kLow) | difference) & ~kLow});
#elif defined(__x86_64__)
  // All ones where they are equal: the smaller of that and of a byte is zero at a difference and at the end.
  return one_bit_each(
      reinterpret_cast<Block>(__builtin_elementwise_min(a, reinterpret_cast<Block>(a == b)) == Block{}));
#else
  using Halves = uint64_t __attribute__((vector_size(16)));
  const auto halves = reinterpret_cast<Halves>((a != b) | (a == Block{}));
  return {halves[0], halves[1]};
#endif
}

/// A riscv64 processor may trap, and emulate, a load that isn't aligned.
inline bool may_load(const unsigned char* a, const unsigned char* b) {
#if defined(__riscv)
  return ((reinterpret_cast<uint64_t>(a) | reinterpret_cast<uint64_t>(b)) & (kBlock - 1)) == 0;
#else
  (void)a, (void)b;
  return true;
#endif
}

}  // namespace
}  // namespace godwit::portable

extern "C" {

size_t strlen(const char* text) {
  using namespace godwit::portable;
  Blocks blocks(text);
  const Block zero = all_of(0);
  Hits hits = equal(blocks.block(), zero).from(blocks.skip());
  while (!hits) {
    blocks.next();
    hits = equal(blocks.block(), zero);
  }
  return blocks.address() + hits.first() - reinterpret_cast<uint64_t>(text);
}

void* memchr(const void* text, int byte, size_t size) {
  using namespace godwit::portable;
  if (size == 0) return nullptr;
  const auto begin = reinterpret_cast<uint64_t>(text);
  const uint64_t end = begin + size < begin ? ~UINT64_C(0) : begin + size;
  const Block wanted = all_of(static_cast<unsigned char>(byte));
  Blocks blocks(text);
  Hits hits = equal(blocks.block(), wanted).from(blocks.skip());
  while (!hits) {
    blocks.next();
    if (blocks.address() >= end) return nullptr;
    hits = equal(blocks.block(), wanted);
  }
  const uint64_t found = blocks.address() + hits.first();
  return found < end ? reinterpret_cast<void*>(found) : nullptr;
}

char* strchr(const char* text, int byte) {
  using namespace godwit::portable;
  const Block zero = all_of(0), wanted = all_of(static_cast<unsigned char>(byte));
  Blocks blocks(text);
  Hits hits = either(equal(blocks.block(), zero), equal(blocks.block(), wanted)).from(blocks.skip());
  while (!hits) {
    blocks.next();
    hits = either(equal(blocks.block(), zero), equal(blocks.block(), wanted));
  }
  auto* found = reinterpret_cast<char*>(blocks.address() + hits.first());
  return *found == static_cast<char>(byte) ? found : nullptr;
}

int strcmp(const char* a, const char* b) {
  using namespace godwit::portable;
  auto x = reinterpret_cast<const unsigned char*>(a);
  auto y = reinterpret_cast<const unsigned char*>(b);
  for (;;) {
    // Most strings differ soon: the first block comes without counting.
    uint64_t room = 0;
    if (may_load(x, y)) {
      if (is_inside_page(x) && is_inside_page(y)) {
        if (const Hits hits = end_or_difference(load(x), load(y))) return x[hits.first()] - y[hits.first()];
        x += kBlock, y += kBlock;
      }
      room = room_of(x, y);
      for (; room >= kBlock; room -= kBlock, x += kBlock, y += kBlock) {
        if (const Hits hits = end_or_difference(load(x), load(y))) return x[hits.first()] - y[hits.first()];
      }
    } else {
      room = room_of(x, y);
    }
    // The rest of a page by bytes: what follows may not be there.
    for (; room > 0; --room, ++x, ++y) {
      if (*x != *y || *x == 0) return *x - *y;
    }
  }
}
}
