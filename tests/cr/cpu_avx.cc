// cr: sixteen AVX registers that hold values over a long loop
// needs: avx2
#include <immintrin.h>

#include "util/step.h"

__attribute__((target("avx2"), noinline)) static void churn(uint64_t seed, uint64_t rounds, uint64_t (*out)[4]) {
  uint64_t start[16][4];
  Random random{seed + 1};
  for (auto& row : start)
    for (auto& word : row) word = random.next();
  asm volatile(
      "vmovdqu 0(%[s]), %%ymm0\n vmovdqu 32(%[s]), %%ymm1\n vmovdqu 64(%[s]), %%ymm2\n vmovdqu 96(%[s]), %%ymm3\n"
      "vmovdqu 128(%[s]), %%ymm4\n vmovdqu 160(%[s]), %%ymm5\n vmovdqu 192(%[s]), %%ymm6\n vmovdqu 224(%[s]), %%ymm7\n"
      "vmovdqu 256(%[s]), %%ymm8\n vmovdqu 288(%[s]), %%ymm9\n vmovdqu 320(%[s]), %%ymm10\n vmovdqu 352(%[s]), "
      "%%ymm11\n"
      "vmovdqu 384(%[s]), %%ymm12\n vmovdqu 416(%[s]), %%ymm13\n vmovdqu 448(%[s]), %%ymm14\n vmovdqu 480(%[s]), "
      "%%ymm15\n"
      "1:\n"
      "vpaddq %%ymm1, %%ymm0, %%ymm0\n vpxor %%ymm2, %%ymm1, %%ymm1\n vpaddq %%ymm3, %%ymm2, %%ymm2\n vpxor %%ymm4, "
      "%%ymm3, %%ymm3\n"
      "vpaddq %%ymm5, %%ymm4, %%ymm4\n vpxor %%ymm6, %%ymm5, %%ymm5\n vpaddq %%ymm7, %%ymm6, %%ymm6\n vpxor %%ymm8, "
      "%%ymm7, %%ymm7\n"
      "vpaddq %%ymm9, %%ymm8, %%ymm8\n vpxor %%ymm10, %%ymm9, %%ymm9\n vpaddq %%ymm11, %%ymm10, %%ymm10\n vpxor "
      "%%ymm12, %%ymm11, %%ymm11\n"
      "vpaddq %%ymm13, %%ymm12, %%ymm12\n vpxor %%ymm14, %%ymm13, %%ymm13\n vpaddq %%ymm15, %%ymm14, %%ymm14\n vpermq "
      "$0x39, %%ymm15, %%ymm15\n"
      "vpxor %%ymm0, %%ymm15, %%ymm15\n"
      "dec %[n]\n jnz 1b\n"
      "vmovdqu %%ymm0, 0(%[o])\n vmovdqu %%ymm3, 32(%[o])\n vmovdqu %%ymm7, 64(%[o])\n vmovdqu %%ymm11, 96(%[o])\n "
      "vmovdqu %%ymm15, 128(%[o])\n"
      "vzeroupper\n"
      : [n] "+r"(rounds)
      : [s] "r"(start), [o] "r"(out)
      : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

int main() {
  ready();
  for (int i = 0; i < steps(); i++) {
    uint64_t out[5][4] = {};
    churn(static_cast<uint64_t>(i), 500000, out);
    mix(out, sizeof out);
    note("round %d: %016llx %016llx", i, static_cast<unsigned long long>(out[0][3]),
         static_cast<unsigned long long>(out[4][0]));
    step();
  }
  finish();
}
