// Raw system calls of the native kernel, and the kernel's structures. Results are -errno, as the kernel gives them.
#pragma once

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

namespace godwit::portable {

inline long sys6(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = a;
  register long x1 asm("x1") = b;
  register long x2 asm("x2") = c;
  register long x3 asm("x3") = d;
  register long x4 asm("x4") = e;
  register long x5 asm("x5") = f;
  asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
  return x0;
#elif defined(__riscv)
  register long a7 asm("a7") = number;
  register long a0 asm("a0") = a;
  register long a1 asm("a1") = b;
  register long a2 asm("a2") = c;
  register long a3 asm("a3") = d;
  register long a4 asm("a4") = e;
  register long a5 asm("a5") = f;
  asm volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
  return a0;
#endif
}

inline long as_argument(long value) { return value; }
inline long as_argument(unsigned long value) { return static_cast<long>(value); }
inline long as_argument(int value) { return value; }
inline long as_argument(unsigned value) { return static_cast<long>(value); }
inline long as_argument(const volatile void* value) { return reinterpret_cast<long>(value); }

template <class... Arguments>
long sys(long number, Arguments... arguments) {
  long list[7] = {as_argument(arguments)..., 0};
  return sys6(number, list[0], list[1], list[2], list[3], list[4], list[5]);
}

inline bool failed(long result) { return static_cast<unsigned long>(result) > -4096ul; }

}  // namespace godwit::portable
