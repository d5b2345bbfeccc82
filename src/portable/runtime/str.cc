// strlen, memchr, strchr, strcmp: searches for a byte, natively.
//
// They are called everywhere, stop nowhere and keep nothing, so they need no neutral form; and a vector is worth most here. An
// aligned block of 16 bytes lies in one page, so it may be read whole when one of its bytes may be: what was read
// too much is masked off. A block is compared as a vector; where a byte matched, its 8 bits are ones in one of the two
// halves, and the lowest of them tells the place (the family is little-endian).
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
#else
using Block = unsigned char __attribute__((vector_size(16)));

struct Hits {
  uint64_t low, high;
  explicit operator bool() const { return (low | high) != 0; }
  uint64_t first() const {
    return low ? static_cast<uint64_t>(__builtin_ctzll(low)) / 8 : 8 + static_cast<uint64_t>(__builtin_ctzll(high)) / 8;
  }
  Hits from(uint64_t skip) const {
    if (skip >= 8) return {0, high >> 8 * (skip - 8) << 8 * (skip - 8)};
    return {low >> 8 * skip << 8 * skip, high};
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

/// Eight bytes of each: no read may leave its page, and a riscv64 processor may trap one that isn't aligned.
inline bool may_read_words(const unsigned char* a, const unsigned char* b) {
  const auto x = reinterpret_cast<uint64_t>(a), y = reinterpret_cast<uint64_t>(b);
#if defined(__riscv)
  return ((x | y) & 7) == 0;
#else
  constexpr uint64_t kInPage = GODWIT_PAGE - 1;
  return (x & kInPage) <= GODWIT_PAGE - 8 && (y & kInPage) <= GODWIT_PAGE - 8;
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
    if (may_read_words(x, y)) {
      uint64_t v, w;
      __builtin_memcpy(&v, x, 8);
      __builtin_memcpy(&w, y, 8);
      const bool has_zero = ((v - UINT64_C(0x0101010101010101)) & ~v & UINT64_C(0x8080808080808080)) != 0;
      if (v == w && !has_zero) {
        x += 8;
        y += 8;
        continue;
      }
    }
    for (int i = 0; i < 8; ++i, ++x, ++y)
      if (*x != *y || *x == 0) return *x - *y;
  }
}
}
