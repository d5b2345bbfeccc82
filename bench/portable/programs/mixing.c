// Integers mixed as a cryptographic hash does: rotations, xor, a schedule of words.
#include "../kernel.h"

#define N 1600000

static int n;
static uint32_t state[8];

static void prepare(void) { n = scaled(N); }
static void fill(void) {
  for (uint32_t i = 0; i < 8; ++i) state[i] = i * 0x9e3779b9u + 1;
}

static uint32_t turned(uint32_t x, int by) { return x >> by | x << (32 - by); }

static void mix(uint32_t* s, const uint32_t* block) {
  uint32_t w[64];
  for (int i = 0; i < 16; ++i) w[i] = block[i];
  for (int i = 16; i < 64; ++i)
    w[i] = w[i - 16] + w[i - 7] + (turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ w[i - 15] >> 3) +
           (turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ w[i - 2] >> 10);
  uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
  for (uint32_t i = 0; i < 64; ++i) {
    const uint32_t one =
        h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + i * 0x428a2f98u + w[i];
    const uint32_t two = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + one;
    d = c;
    c = b;
    b = a;
    a = one + two;
  }
  s[0] += a;
  s[1] += b;
  s[2] += c;
  s[3] += d;
  s[4] += e;
  s[5] += f;
  s[6] += g;
  s[7] += h;
}

static void work(void) {
  uint32_t block[16];
  for (int i = 0; i < n; ++i) {
    for (uint32_t k = 0; k < 16; ++k) block[k] = (uint32_t)i * 31 + k;
    mix(state, block);
  }
}

static double sum(void) {
  double total = 0;
  for (int i = 0; i < 8; ++i) total += state[i];
  return total;
}
