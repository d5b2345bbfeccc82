// cr: general registers and flags that hold values over a long loop
#include "util/step.h"

// Runs `rounds` turns with distinct values in 13 registers; gives a mix of all of them. Nothing is in memory meanwhile.
static uint64_t churn(uint64_t seed, uint64_t rounds) {
  uint64_t out;
  asm volatile(
      "mov %1, %%rax\n mov %2, %%rcx\n"
      "lea 1(%%rax), %%rbx\n lea 2(%%rax), %%rdx\n lea 3(%%rax), %%rsi\n lea 4(%%rax), %%rdi\n"
      "lea 5(%%rax), %%r8\n lea 6(%%rax), %%r9\n lea 7(%%rax), %%r10\n lea 8(%%rax), %%r11\n"
      "lea 9(%%rax), %%r12\n lea 10(%%rax), %%r13\n lea 11(%%rax), %%r14\n lea 12(%%rax), %%r15\n"
      "clc\n"
      "1:\n"
      "adc %%rbx, %%rax\n rcl $7, %%rbx\n adc %%rdx, %%rsi\n rcl $11, %%rdx\n adc %%rdi, %%r8\n rcl $13, %%rdi\n"
      "adc %%r9, %%r10\n rcl $17, %%r9\n adc %%r11, %%r12\n rcl $19, %%r11\n adc %%r13, %%r14\n rcl $23, %%r13\n"
      "adc %%r15, %%rbx\n rcl $29, %%r15\n adc %%rax, %%r15\n adc %%rsi, %%r13\n adc %%r8, %%r11\n"
      "dec %%rcx\n"  // leaves CF alone
      "jnz 1b\n"
      "adc %%rbx, %%rax\n xor %%rdx, %%rax\n add %%rsi, %%rax\n xor %%rdi, %%rax\n add %%r8, %%rax\n xor %%r9, %%rax\n"
      "add %%r10, %%rax\n xor %%r11, %%rax\n add %%r12, %%rax\n xor %%r13, %%rax\n add %%r14, %%rax\n xor %%r15, "
      "%%rax\n"
      "mov %%rax, %0\n"
      : "=m"(out)
      : "m"(seed), "m"(rounds)
      : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory");
  return out;
}

int main() {
  ready();
  for (int i = 0; i < steps(); i++) {
    note("round %d: %016llx", i, (unsigned long long)churn(i * 1000003u, 500000));
    step();
  }
  finish();
}
