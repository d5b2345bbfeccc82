// cr: x87 stack and control word, MXCSR rounding and flags, SSE registers
#include "util/step.h"

// Keeps five values on the x87 stack over the loop; 1/3 in the rounding mode that the control word asks for.
static double x87(uint32_t rounds, uint16_t control) {
  double out;
  uint16_t old;
  asm volatile("fnstcw %0" : "=m"(old));
  asm volatile("fldcw %0" : : "m"(control));
  asm volatile(
      "fld1\n fldpi\n fldl2e\n fldln2\n fldlg2\n"
      "1:\n fadd %%st(1), %%st\n fmul %%st(3), %%st\n fxch %%st(2)\n fsqrt\n fdiv %%st(1), %%st\n fxch %%st(4)\n "
      "fabs\n fsqrt\n dec %1\n jnz 1b\n"
      "faddp\n faddp\n faddp\n faddp\n fstpl %0\n"
      : "=m"(out), "+r"(rounds)
      :
      : "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
  uint16_t now;
  asm volatile("fnstcw %0" : "=m"(now));
  CHECK_EQ(now, control);
  asm volatile("fldcw %0" : : "m"(old));
  return out;
}

static float sse(uint64_t rounds, uint32_t mxcsr) {
  float start[4] = {1.0f, 1.1f, 1.2f, 1.3f}, grow[4] = {1.0000001f, 0.9999999f, 1.0000002f, 0.9999998f}, out[4];
  uint32_t old, now;
  asm volatile("stmxcsr %0" : "=m"(old));
  asm volatile("ldmxcsr %0" : : "m"(mxcsr));
  asm volatile(
      "movups %2, %%xmm0\n movups %3, %%xmm15\n movaps %%xmm0, %%xmm7\n"
      "1:\n mulps %%xmm15, %%xmm0\n addps %%xmm15, %%xmm7\n dec %1\n jnz 1b\n"
      "addps %%xmm7, %%xmm0\n movups %%xmm0, %0\n stmxcsr %4\n"
      : "=m"(out), "+r"(rounds)
      : "m"(start), "m"(grow), "m"(now)
      : "cc", "memory", "xmm0", "xmm7", "xmm15");
  CHECK_EQ(now & ~0x3fu, mxcsr & ~0x3fu);  // the low six are sticky flags
  asm volatile("ldmxcsr %0" : : "m"(old));
  return out[0] + out[1] * 3 + out[2] * 5 + out[3] * 7;
}

int main() {
  ready();
  for (int i = 0; i < steps(); i++) {
    auto rounding = static_cast<uint32_t>(i % 4);
    double a = x87(30000, static_cast<uint16_t>(0x037f | rounding << 10));
    float b = sse(800000, 0x1f80u | rounding << 13 | (i & 4 ? 0x8040u : 0));
    note("round %d: %a %a", i, a, static_cast<double>(b));
    step();
  }
  finish();
}
