// Raw system calls of the native kernel, and the kernel's structures. Results are -errno, as the kernel gives them.
#pragma once

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#include "portable/runtime/names32.h"

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
#elif defined(__s390x__)
  register long r1 asm("r1") = number;
  register long r2 asm("r2") = a;
  register long r3 asm("r3") = b;
  register long r4 asm("r4") = c;
  register long r5 asm("r5") = d;
  register long r6 asm("r6") = e;
  register long r7 asm("r7") = f;
  asm volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6), "d"(r7) : "memory", "cc");
  return r2;
#elif defined(__arm__)
  register long r7 asm("r7") = number;
  register long r0 asm("r0") = a;
  register long r1 asm("r1") = b;
  register long r2 asm("r2") = c;
  register long r3 asm("r3") = d;
  register long r4 asm("r4") = e;
  register long r5 asm("r5") = f;
  asm volatile("svc #0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory", "cc");
  return r0;
#endif
}

inline long as_argument(long value) { return value; }
inline long as_argument(unsigned long value) { return static_cast<long>(value); }
#if __SIZEOF_LONG__ == 4  // who has a number of 64 bits here knows that it fits
inline long as_argument(int64_t value) { return static_cast<long>(value); }
inline long as_argument(uint64_t value) { return static_cast<long>(value); }
#endif
inline long as_argument(int value) { return value; }
inline long as_argument(unsigned value) { return static_cast<long>(value); }
inline long as_argument(const volatile void* value) { return reinterpret_cast<long>(value); }

template <class... Arguments>
long sys(long number, Arguments... arguments) {
  long list[7] = {as_argument(arguments)..., 0};
  return sys6(number, list[0], list[1], list[2], list[3], list[4], list[5]);
}

inline bool failed(int64_t result) { return static_cast<uint64_t>(result) > static_cast<uint64_t>(INT64_C(-4096)); }

/// Anonymous mmap: its arguments lie in memory on s390x, and an address of 32 bits isn't negative.
template <class Address>
int64_t sys_mmap(Address address, uint64_t length, long protection, long flags) {
#if defined(__s390x__)
  const unsigned long list[6] = {static_cast<unsigned long>(as_argument(address)),
                                 length,
                                 static_cast<unsigned long>(protection),
                                 static_cast<unsigned long>(flags),
                                 ~0ul,
                                 0};
  return sys(__NR_mmap, list);
#else
  if (length > SIZE_MAX) return -12;  // ENOMEM
  const int64_t result = sys(__NR_mmap, address, length, protection, flags, -1, 0);
  return failed(result) ? result : static_cast<int64_t>(static_cast<unsigned long>(result));
#endif
}

// Where an offset has more bits than a register.

inline int64_t sys_seek(long fd, int64_t offset, long whence) {
#if __SIZEOF_LONG__ == 4
  int64_t place = 0;
  const long result = sys(__NR__llseek, fd, static_cast<long>(offset >> 32), static_cast<long>(offset), &place, whence);
  return result ? result : place;
#else
  return sys(__NR_lseek, fd, offset, whence);
#endif
}

template <class Buffer>
int64_t sys_pread(long fd, Buffer buffer, uint64_t size, uint64_t offset) {
#if defined(__arm__)
  return sys(__NR_pread64, fd, buffer, size, 0, static_cast<long>(offset), static_cast<long>(offset >> 32));
#else
  return sys(__NR_pread64, fd, buffer, size, offset);
#endif
}

}  // namespace godwit::portable
