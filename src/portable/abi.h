/* What the compiler pass, the C library and the runtime of a portable program have agreed on.
 *
 * Three parts meet in a portable program, and nothing else does:
 *
 *   neutral code   the program, musl and later libc++, compiled once to LLVM IR that no architecture owns, instrumented by
 *                  pass/, then lowered for each target. All that it can point at (globals, heap, stacks, thread blocks,
 *                  function thunks) lies at the same address on every architecture of a family, so memory moves verbatim.
 *   runtime        runtime/: freestanding native code, once a target. Owns the arena, the system calls, the native
 *                  threads and the image. Keeps no state of the program's: what it must remember across a move is in the
 *                  arena's header or is asked of the kernel when it is saved.
 *   this file      constants and declarations, C and C++, without any other include but <stdint.h> and little.h.
 *
 * The state word. Each thread has one, in native thread-local storage. Every call that may reach an adaptation point is
 * followed by a look at it: 0 is the only value in which code simply goes on.
 *
 *   kRunning    0
 *   kSaving     1   an adaptation point has said yes: each function pushes what it still needs as a shadow frame and
 *                   returns to its caller at once, whose call site does the same
 *   kRestoring  2   each function pops its frame first, fills its variables from it and calls again what it had called
 *   kThrowing   3   a C++ exception looks for its handler (no native unwinder)
 *   kJumping    4   a longjmp looks for the frame of its setjmp
 *
 * Who changes it: kRunning -> kSaving and kRestoring -> kRunning only in the runtime (godwit_poll and a blocking system
 * call); the others in neutral code.
 *
 * A stack of shadow frames lies in the arena, one a thread. Frames are pushed from the innermost call outwards and popped in
 * the opposite order: the outermost function first. A frame's first 8 bytes are the number of its call site, the rest is the
 * pass's business.
 *
 * A second stack, also in the arena and one a thread, holds what a function's address-taken variables, arrays and allocas
 * are. It grows upwards: __godwit_sp is its first free byte, always a multiple of 16; a function that has such variables
 * moves it up at its entry and back at each way out, the ways of kSaving and kThrowing included.
 */
/* NOLINTBEGIN(readability-identifier-naming): a C header; its names are the linker's. */
#ifndef GODWIT_PORTABLE_ABI_H
#define GODWIT_PORTABLE_ABI_H

#include <stdint.h>

#include "little.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Addresses. Function thunks and data must be below 2 GiB: that is what the small code models reach, and the low 32 bits
 * of a typeinfo's address are an exception's selector. The arena lies above 4 GiB and below 256 GiB, the whole user space of a
 * riscv64 processor with Sv39, but for the low one. A program's own values are in its `godwit_program`; these are the family's usual ones. */
#define GODWIT_THUNKS UINT64_C(0x1f000000)
#define GODWIT_THUNK_STRIDE 16
#define GODWIT_DATA UINT64_C(0x20000000)
#define GODWIT_ARENA UINT64_C(0x1000000000)
#define GODWIT_ARENA_SIZE UINT64_C(0x2000000000) /* 128 GiB of addresses, mapped where used */

/* Where a program's arena lies when one of its targets has addresses of 32 bits, of which Linux leaves 3 GiB to a process: behind
 * the data, and before what the kernel and the runtime put at the end. All targets of such a program have it there. */
#define GODWIT_LOW_ARENA UINT64_C(0x30000000)
#define GODWIT_LOW_ARENA_SIZE UINT64_C(0x60000000) /* 1.5 GiB */

#define GODWIT_PAGE UINT64_C(4096)

enum { GODWIT_RUNNING = 0, GODWIT_SAVING = 1, GODWIT_RESTORING = 2, GODWIT_THROWING = 3, GODWIT_JUMPING = 4 };

/* ---- The program, as the link step describes it to the runtime. All fields are u64, little-endian, or bytes: it is the same on
 * every target. It lies in read-only native memory and isn't part of an image; `signature` is. */
struct godwit_program {
  char magic[8]; /* "GODWITP1" */
  uint8_t
      signature[32]; /* SHA-256 of what must be equal for an image to fit: the instrumented neutral code and this ABI */
  char family[16]; /* "lp64le" */
  char name[64]; /* the output file's last part, for messages */
  godwit_u64 data_start; /* all neutral globals, writable and constant: [data_start, data_end) */
  godwit_u64 data_end;
  godwit_u64 arena;
  godwit_u64 arena_size;
  godwit_u64 tls_size; /* thread-local variables: a multiple of tls_align. They end where __godwit_tp points to: */
  godwit_u64 tls_align; /* [tp - tls_size, tp); the C library's own struct pthread begins at tp */
  godwit_u64 tls_image; /* address, in neutral data, of their tls_size bytes of initial content */
  godwit_u64 functions; /* how many have thunks */
};
extern const struct godwit_program godwit_program;

/* ---- Native, supplied by the runtime, used by instrumented code. Names begin with __godwit_. */

#ifdef __cplusplus
#define GODWIT_THREAD __thread
#else
#define GODWIT_THREAD _Thread_local
#endif

extern GODWIT_THREAD uint32_t __godwit_state; /* above */
extern GODWIT_THREAD char* __godwit_sp; /* first free byte of this thread's stack in the arena */
extern GODWIT_THREAD char*
    __godwit_tp; /* the thread pointer of neutral code: its variables lie at __godwit_tp + offset */
extern uint32_t
    __godwit_request; /* not 0: somebody wants threads to stop, or one is being restored; read relaxed at each
                                     adaptation point and at the entry of a function that may be on a stack at one */

/* Its bits: the lowest, and the number of threads with kRestoring in the others. */
#define GODWIT_REQUEST_ASKED UINT32_C(1)
#define GODWIT_REQUEST_RESTORING UINT32_C(2)

/* An adaptation point whose request flag was set, or that a thread arrives at while it is restored. A call site. */
void __godwit_poll(void);
/* Room for a shadow frame of `size` bytes (a multiple of 16), 16-aligned. Never fails: ends the process with a message. */
void* __godwit_push(uint64_t size);
/* The same, and `site`, the number of the call site, is written to its begin as neutral code would. */
void* __godwit_save(uint64_t size, uint64_t site);
/* The innermost frame that was pushed and not popped yet. */
void* __godwit_pop(void);
/* A system call of the neutral family: numbers and structures of Linux's generic 64-bit ABI (asm-generic/unistd.h). Returns
 * -errno. A call site whose arguments are saved: when a request interrupts it, it sets kSaving and returns; it is issued
 * again, with the same arguments, where the thread is restored. */
int64_t __godwit_syscall(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f);

/* A thread that will run fn(arg), for the C library's pthread_create. `stack` is the low end of its stack in the arena, `tls`
 * its thread pointer; *ptid gets its number, *ctid is cleared and woken (futex) when it has ended, as CLONE_CHILD_CLEARTID.
 * Numbers of threads are the unit's own (the first is 1): they stay when it moves, whatever the kernel's are. -errno. */
int64_t __godwit_clone(int (*fn)(void*), void* stack, uint64_t stack_size, void* arg, int* ptid, void* tls, int* ctid);

/* ---- Neutral, supplied by libc/start.c, used by the runtime. */

/* Runs the program: sets up the C library, the constructors, main, exit. Re-entered with kRestoring. Its arguments lie in the
 * arena (argv, its strings and envp were copied there). When it returns, the state is kSaving: all is in the arena. */
#if __SIZEOF_POINTER__ == 8
int __godwit_main(int argc, char** argv, char** envp);
/* What a thread other than the first runs: fn(arg). Re-entered with kRestoring, like __godwit_main. */
void __godwit_thread(int (*fn)(void*), void* arg);
#else /* The runtime of a narrow processor: a pointer of neutral code is a number of 64 bits (pass/adapt_narrow.cc). */
int __godwit_main(int argc, uint64_t argv, uint64_t envp);
void __godwit_thread(uint64_t fn, uint64_t arg);
#endif

#ifdef __cplusplus
}
#endif
#endif
/* NOLINTEND(readability-identifier-naming) */
