/* Just enough of a runtime to run the neutral C library where it is native already: neutral code is valid riscv64 code, variadic
 * functions and thread-local variables included, so the library can be tried without the pass and the real runtime. Nothing
 * moves, system calls go to the kernel as they are, stacks are native.
 *
 * Compiled without the neutral flags, without a C library. */
#include "abi.h"

static char tls_image[32] = "image of thread-local variables";

const struct godwit_program godwit_program = {
    .magic = "GODWITP1", .tls_size = sizeof tls_image, .tls_align = 32, .tls_image = (uint64_t)tls_image};

_Thread_local char* __godwit_tp;

typedef void (*constructor)(void);
extern constructor __init_array_start[], __init_array_end[];

void __godwit_constructors(void) {
  for (constructor* c = __init_array_start; c < __init_array_end; c++) (*c)();
}

enum { kBrk = 214 };

long __godwit_syscall(long number, long a, long b, long c, long d, long e, long f) {
  if (number == kBrk) return -12; /* as the real runtime: memory comes from mmap, in the arena */
  register long a7 __asm__("a7") = number;
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b;
  register long a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d;
  register long a4 __asm__("a4") = e;
  register long a5 __asm__("a5") = f;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
  return a0;
}

/* Each thread's native variables: only __godwit_tp, at offset 0. They are never given back. */
static _Alignas(16) char native_tls[64][64];
static int threads;

/* What the new thread finds at the top of its stack. */
struct begin {
  int (*fn)(void*);
  void* arg;
  void* tp;
};

__attribute__((used)) static void begin(struct begin* b) {
  __godwit_tp = b->tp;
  for (int i = 0; i < 32; i++) {
    if (((char*)b->tp - 32)[i] != tls_image[i]) __builtin_trap();
  }
  __godwit_thread(b->fn, b->arg);
}

long raw_clone(long flags, void* stack, int* ptid, void* native, int* ctid);
__asm__(
    ".globl raw_clone\n"
    "raw_clone: li a7, 220\n"
    "  ecall\n"
    "  bnez a0, 1f\n"
    "  mv a0, sp\n"
    "  call begin\n"
    "1: ret\n");

long __godwit_clone(int (*fn)(void*), void* stack, uint64_t stack_size, void* arg, int* ptid, void* tls, int* ctid) {
  if ((uintptr_t)stack % 16 || stack_size < 65536) __builtin_trap();
  *(char*)stack = 1; /* the low end is writable */
  struct begin* b = (struct begin*)(((uintptr_t)stack + stack_size - sizeof *b) & ~15ul);
  *b = (struct begin){fn, arg, tls};
  int mine = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
  if (mine >= 64) return -11;
  return raw_clone(0x7d0f00, b, ptid, native_tls[mine], ctid);
}

__attribute__((used)) static int enter(long* sp) {
  int argc = (int)sp[0];
  char** argv = (char**)(sp + 1);
  return __godwit_main(argc, argv, argv + argc + 1);
}

__asm__(
    ".globl _start\n"
    "_start: .option push\n"
    ".option norelax\n"
    "  lla gp, __global_pointer$\n"
    ".option pop\n"
    "  lla tp, native_tls\n"
    "  mv a0, sp\n"
    "  call enter\n"
    "  unimp\n");

/* musl's timers use these; the sanity program doesn't. */
int setjmp(long* buffer) {
  (void)buffer;
  return 0;
}
void longjmp(long* buffer, int value) {
  (void)buffer;
  (void)value;
  __builtin_trap();
}
