/* Every system call is a call of the runtime, which knows the kernel it is on. */
#include "abi.h"

#define __SYSCALL_LL_E(x) (x)
#define __SYSCALL_LL_O(x) (x)

static inline long __syscall0(long n) { return __godwit_syscall(n, 0, 0, 0, 0, 0, 0); }

static inline long __syscall1(long n, long a) { return __godwit_syscall(n, a, 0, 0, 0, 0, 0); }

static inline long __syscall2(long n, long a, long b) { return __godwit_syscall(n, a, b, 0, 0, 0, 0); }

static inline long __syscall3(long n, long a, long b, long c) { return __godwit_syscall(n, a, b, c, 0, 0, 0); }

static inline long __syscall4(long n, long a, long b, long c, long d) { return __godwit_syscall(n, a, b, c, d, 0, 0); }

static inline long __syscall5(long n, long a, long b, long c, long d, long e) {
  return __godwit_syscall(n, a, b, c, d, e, 0);
}

static inline long __syscall6(long n, long a, long b, long c, long d, long e, long f) {
  return __godwit_syscall(n, a, b, c, d, e, f);
}

/* VDSO_USEFUL stays undefined: the vDSO is the kernel's code for one architecture. A runtime may use it behind the call. */
#define IPC_64 0
