// cr: AVX-512 registers above 15 and mask registers that hold values over a long loop
// needs: avx512
#include "util/step.h"

__attribute__((target("avx512f"), noinline)) static void churn(uint64_t seed, uint64_t rounds, uint64_t (*out)[8],
                                                               uint16_t* masks) {
  uint64_t start[8][8];
  Random random{seed + 1};
  for (auto& row : start)
    for (auto& word : row) word = random.next();
  uint32_t mask = 0x5a3c;
  asm volatile(
      "vmovdqu64 0(%[s]), %%zmm0\n vmovdqu64 64(%[s]), %%zmm5\n vmovdqu64 128(%[s]), %%zmm16\n vmovdqu64 192(%[s]), "
      "%%zmm17\n"
      "vmovdqu64 256(%[s]), %%zmm23\n vmovdqu64 320(%[s]), %%zmm24\n vmovdqu64 384(%[s]), %%zmm30\n vmovdqu64 "
      "448(%[s]), %%zmm31\n"
      "kmovw %[m], %%k1\n knotw %%k1, %%k7\n kxnorw %%k3, %%k3, %%k3\n"
      "1:\n"
      "vpaddq %%zmm31, %%zmm0, %%zmm0%{%%k1%}\n vpxorq %%zmm16, %%zmm5, %%zmm5%{%%k7%}\n vpaddq %%zmm17, %%zmm16, "
      "%%zmm16\n"
      "vprolq $7, %%zmm23, %%zmm17%{%%k1%}\n vpaddq %%zmm24, %%zmm23, %%zmm23%{%%k3%}\n vpxorq %%zmm30, %%zmm24, "
      "%%zmm24\n"
      "vprolq $13, %%zmm0, %%zmm30\n vpaddq %%zmm5, %%zmm31, %%zmm31%{%%k7%}\n"
      "dec %[n]\n jnz 1b\n"
      "vmovdqu64 %%zmm0, 0(%[o])\n vmovdqu64 %%zmm17, 64(%[o])\n vmovdqu64 %%zmm24, 128(%[o])\n vmovdqu64 %%zmm31, "
      "192(%[o])\n"
      "kmovw %%k1, 0(%[k])\n kmovw %%k7, 2(%[k])\n kmovw %%k3, 4(%[k])\n"
      "vzeroupper\n"
      : [n] "+r"(rounds)
      : [s] "r"(start), [o] "r"(out), [m] "r"(mask), [k] "r"(masks)
      : "cc", "memory", "xmm0", "xmm5", "xmm16", "xmm17", "xmm23", "xmm24", "xmm30", "xmm31", "k1", "k3", "k7");
}

int main() {
  ready();
  for (int i = 0; i < steps(); i++) {
    uint64_t out[4][8];
    uint16_t masks[3];
    churn(static_cast<uint64_t>(i), 400000, out, masks);
    mix(out, sizeof out);
    note("round %d: %016llx %04x %04x %04x", i, static_cast<unsigned long long>(out[3][7]), masks[0], masks[1],
         masks[2]);
    step();
  }
  finish();
}
